"""Which server a dedicated IP is at.

Source: pia-foss/manual-connections get_dip.sh. A dedicated IP has a token of its own, which its
holder got from PIA; the account's token asks for it, and the WireGuard server takes it.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from datetime import UTC, datetime
from http import HTTPStatus

from piavpn.pia import calls, errors, https

ACTIVE = "active"


@dataclasses.dataclass(frozen=True, slots=True)
class DedicatedIp:
    """A dedicated IP as PIA tells of it."""

    status: str
    """`active`, `expired`, `invalid` or `error`."""
    region: str = ""
    cn: str = ""
    address: ipaddress.IPv4Address | None = None
    """The server's address, which is what the Internet sees; None unless active."""
    expires: datetime | None = None


@calls.counted("dedicatedIP")
def look_up(
    url: str, *, token: str, dedicated_token: str, ca_bundle: str | None, timeout: float = 10.0
) -> DedicatedIp:
    """Ask for the dedicated IP of `dedicated_token` with the account's `token`.

    Raises:
        TokenRejected: the account's token holds no more.
        PiaError: as `https.public`, or BadResponse for an answer without that dedicated IP.
    """
    response = https.public(
        url,
        document={"tokens": [dedicated_token]},
        headers={"Authorization": f"Token {token}"},
        ca_bundle=ca_bundle,
        timeout=timeout,
    )
    refused = response.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    if refused or "access denied" in response.text.lower():
        raise errors.TokenRejected("PIA rejects the account's token when asked for a dedicated IP")
    try:
        found = json.loads(response.body)
        return _read(next(item for item in found if item.get("dip_token") == dedicated_token))
    except (ValueError, TypeError, KeyError, AttributeError, StopIteration, OverflowError) as error:
        raise errors.BadResponse(
            f"the question for a dedicated IP was answered with HTTP {response.status} and none"
        ) from error


def _read(item: dict[str, object]) -> DedicatedIp:
    status = str(item["status"])
    if status != ACTIVE:
        return DedicatedIp(status)
    expires = item.get("dip_expire")
    return DedicatedIp(
        status=status,
        region=str(item["id"]),
        cn=str(item["cn"]),
        address=ipaddress.IPv4Address(str(item["ip"])),
        expires=datetime.fromtimestamp(expires, UTC) if isinstance(expires, int) else None,
    )
