"""Whose the fields of a status are, and how they come back to those who write them. Pure."""

from __future__ import annotations

from typing import Any

from piavpn.api import names

_OURS = frozenset({names.MANAGER_OPERATOR, names.MANAGER_GATEWAY, names.MANAGER_NODE_AGENT})


def without_strangers(body: dict[str, Any]) -> dict[str, Any] | None:
    """Return the merge patch by which nobody but our programs owns parts of the object's status.

    A restore tool that writes a status, or `kubectl edit --subresource=status`, comes to own it,
    and every apply of another value is a conflict from then on. To force it would be worse: of an
    entry that is forced and dropped later, what the stranger still owns stays, and is invalid.

    Args:
        body: the object, with its managedFields.

    Returns:
        The patch, which the API server takes only if the object has not changed; None where no
        stranger owns anything.
    """
    metadata = body["metadata"]
    entries = metadata.get("managedFields") or []
    kept = [each for each in entries if not _is_strange(each)]
    if kept == entries:
        return None
    # An empty list would be taken for no change.
    return {
        "metadata": {
            "resourceVersion": metadata["resourceVersion"],
            "managedFields": kept or [{}],
        }
    }


def _is_strange(entry: dict[str, Any]) -> bool:
    return entry.get("subresource") == "status" and entry.get("manager") not in _OURS
