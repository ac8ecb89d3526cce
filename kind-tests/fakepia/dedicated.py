"""The one dedicated IP that there is: its token, its server, and who may register there by it."""

import base64
import binascii
import datetime as dt
from typing import Any

from fakepia import failures, world

TOKEN = "DIP20261123"
SERVER = world.FRANKFURT401
REGION = "de-frankfurt"
_LIFETIME = dt.timedelta(days=30)


def listed(token: str, failing: failures.Failures, now: dt.datetime) -> dict[str, Any]:
    """Give what PIA says of the dedicated IP of `token`."""
    if failing.dedicated_ip is not None:
        return {"dip_token": token, "status": failing.dedicated_ip}
    if token != TOKEN:
        return {"dip_token": token, "status": "invalid"}
    return {
        "id": REGION,
        "dip_token": token,
        "dip_expire": int((now + _LIFETIME).timestamp()),
        "groups": ["ovpntcp", "ovpnudp", "wg", "ikev2"],
        "ip": str(SERVER.address),
        "cn": SERVER.cn,
        "status": "active",
    }


def holder(authorization: str, server: world.Server) -> str | None:
    """Give what stands for the account of who registers so; None where it is not the holder."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        user, _, address = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    genuine = scheme == "Basic" and user == f"dedicated_ip_{TOKEN}"
    return user if genuine and server is SERVER and address == str(server.address) else None
