"""Take secrets, and what names an account, out of texts for a bug report. Pure."""

from __future__ import annotations

import re

_PATTERNS = (
    (re.compile(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL), "<pem>"),
    (re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=(?!=)"), "<key>"),
    (re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{64,}(?![0-9A-Za-z])"), "<token>"),
    (re.compile(r"\bDIP[0-9A-Za-z]{6,}\b"), "<dedicated IP>"),
    (re.compile(r"(?<![0-9A-Za-z-])p\d{6,8}(?![0-9A-Za-z])"), "<account>"),
    (
        re.compile(r"(?i)((?:password|passwd|token|authorization)[\"']?\s*[=:]\s*)\S+"),
        r"\1<secret>",
    ),
)


def redacted(text: str) -> str:
    """Return the text without PEM blocks, WireGuard keys, tokens, passwords and account names."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def without_specs(item: dict[str, object]) -> dict[str, object]:
    """Return an object's name and status: a spec may have secrets of an app in it."""
    metadata = item["metadata"]
    assert isinstance(metadata, dict)  # noqa: S101 - as the API has it
    kept = {key: metadata[key] for key in ("name", "namespace", "generation") if key in metadata}
    return {"kind": item.get("kind"), "metadata": kept, "status": item.get("status") or {}}
