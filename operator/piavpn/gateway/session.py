"""A session: one registration at one server. Kept in the pod's memory, so a restart can adopt it.

The private key is not part of it: the link alone keeps that.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import pathlib
from datetime import datetime

from piavpn.api import codec, types
from piavpn.api.gateway_config import Server
from piavpn.gateway.slots import Slot
from piavpn.pia.registration import Registration


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """What a server and we agreed on, and the slot's link that it lives on."""

    region: str
    cn: str
    address: ipaddress.IPv4Address
    endpoint_port: int
    server_key: str
    server_vip: ipaddress.IPv4Address
    peer_address: ipaddress.IPv4Address
    dns_servers: tuple[ipaddress.IPv4Address, ...]
    link: str
    public_key: str
    registered_time: datetime

    @property
    def place(self) -> str:
        """Name the server to a person."""
        return f"{self.cn} ({self.region})"

    def to_status(self) -> types.Session:
        """Return it as `status.session` shows it."""
        return types.Session(
            region=self.region,
            server=self.cn,
            server_address=self.address,
            link=self.link,
            peer_address=self.peer_address,
            public_key=self.public_key,
            registered_time=self.registered_time,
        )


def of(
    server: Server, registration: Registration, *, slot: Slot, public_key: str, now: datetime
) -> Session:
    """Return the session that a registration makes on a slot."""
    return Session(
        region=server.region,
        cn=server.cn,
        address=registration.endpoint_address,
        endpoint_port=registration.endpoint_port,
        server_key=registration.server_key,
        server_vip=registration.server_vip,
        peer_address=registration.peer_address,
        dns_servers=registration.dns_servers,
        link=slot.link,
        public_key=public_key,
        registered_time=now.replace(microsecond=0),
    )


def save(file: pathlib.Path, session: Session) -> None:
    """Keep the session for a restart.

    Raises:
        OSError: the file cannot be written.
    """
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(codec.encode(session)), encoding="utf-8")
    fresh.replace(file)


def load(file: pathlib.Path) -> Session | None:
    """Return the session that was kept; None where there is none that can be read."""
    try:
        return codec.decode(Session, json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError):
        return None
