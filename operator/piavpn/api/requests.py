"""What users ask for by an annotation: a time, from which on it is wanted. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def asked_at(text: str | None) -> datetime | None:
    """Return the time that an annotation says; None where it says none, or one without a zone."""
    try:
        asked = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return asked.astimezone(UTC) if asked.tzinfo is not None else None
