"""Log lines as people read them, or as one JSON object each for a log store.

A line is about an object, where there is one: `log.info("logged in", extra=about("PiaVpn", vpn))`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

FORMAT = "PIAVPN_LOG_FORMAT"
"""Environment variable: TEXT, which is the default, or JSON."""
TEXT, JSON = "text", "json"
_CHATTY = ("kopf", "aiohttp.access")

Object = Mapping[str, str]
"""kind, namespace unless it has none, name."""


def subject(kind: str, name: str, namespace: str | None = None) -> Object:
    """Return an object as log lines have it; without a name it is none, and empty."""
    named = {"kind": kind, "namespace": namespace, "name": name}
    return {key: value for key, value in named.items() if value} if name else {}


def about(
    kind: str,
    name: str,
    namespace: str | None = None,
    *,
    reason: str | None = None,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Return the `extra` of a log call.

    Args:
        kind: of the object that the line is about.
        name: the object's.
        namespace: the object's; None where it has none.
        reason: the decision's, or the failure's, in one word, as conditions have it.
        seconds: how long it took.
    """
    more = why(reason, seconds)["piavpn"]
    return {"piavpn": {"object": subject(kind, name, namespace), **more}}


def why(reason: str | None, seconds: float | None = None) -> dict[str, Any]:
    """Return the `extra` of a log call about what the whole process is about."""
    said = {
        "reason": None if reason is None else str(reason),
        "duration_seconds": None if seconds is None else round(seconds, 3),
    }
    return {"piavpn": {key: value for key, value in said.items() if value is not None}}


def format_of(environment: Mapping[str, str]) -> str:
    """Return TEXT or JSON.

    Raises:
        ValueError: the variable says something else.
    """
    given = environment.get(FORMAT) or TEXT
    if given not in {TEXT, JSON}:
        raise ValueError(f"{FORMAT} must be {TEXT} or {JSON}, not {given!r}")
    return given


def set_up(environment: Mapping[str, str], default: Object | None = None) -> None:
    """Have all of this process logged to its standard error.

    Args:
        environment: the process's.
        default: what lines are about that name no object.

    Raises:
        ValueError: the environment asks for a format that does not exist; the log is text then.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    if format_of(environment) == JSON:
        handler.setFormatter(JsonFormatter(default))


class TextFormatter(logging.Formatter):
    """`2026-11-23 10:00:00,123 INFO PiaVpn home: logged in to PIA (reason=…, duration=0.2s)`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line, without a traceback."""
        said = _said(record)
        plain = record.message
        if "object" in said:
            record.message = f"{in_words(said['object'])}: {record.message}"
        more = [f"reason={said['reason']}"] if "reason" in said else []
        if "duration_seconds" in said:
            more.append(f"duration={said['duration_seconds']}s")
        if more:
            record.message += f" ({', '.join(more)})"
        try:
            return super().formatMessage(record)
        finally:
            record.message = plain


class JsonFormatter(logging.Formatter):
    """One object a line: ts, level, logger, msg, and where known object, reason, duration, exc."""

    def __init__(self, default: Object | None = None) -> None:
        """Have lines be about `default` that name no object."""
        super().__init__()
        self._default = {"object": dict(default)} if default else {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
            **self._default,
            **_said(record),
        }
        if record.exc_info:
            line["exc"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def in_words(named: Object) -> str:
    """Return an object's name: `PiaVpn home`, `Pod media/web-0`."""
    namespace = f"{named['namespace']}/" if "namespace" in named else ""
    return f"{named['kind']} {namespace}{named['name']}"


def _said(record: logging.LogRecord) -> dict[str, Any]:
    """Return what stands beside a line's message; kopf has an object in `k8s_ref`."""
    said = dict(getattr(record, "piavpn", {}))
    if reference := getattr(record, "k8s_ref", None):
        kind, name = reference.get("kind", ""), reference.get("name", "")
        said["object"] = subject(kind, name, reference.get("namespace"))
    return said
