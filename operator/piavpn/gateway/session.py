"""A session: one registration at one server. Pure.

The private key is not part of it: the link alone keeps that.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from datetime import datetime

from piavpn.api import piavpns
from piavpn.api.gateway_config import Server
from piavpn.gateway import slots
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

    @property
    def slot(self) -> slots.Slot:
        """The slot that it is in."""
        return slots.of_link(self.link)

    def to_status(self, renew_time: datetime | None = None) -> piavpns.Session:
        """Return it as `status.session` shows it.

        Args:
            renew_time: when another session takes its place, where that is known.
        """
        return piavpns.Session(
            region=self.region,
            server=self.cn,
            server_address=self.address,
            link=self.link,
            peer_address=self.peer_address,
            public_key=self.public_key,
            registered_time=self.registered_time,
            renew_time=renew_time,
        )


def of(
    server: Server, registration: Registration, *, slot: slots.Slot, public_key: str, now: datetime
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
