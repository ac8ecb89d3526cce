"""What the operator tells a gateway: one JSON document in a ConfigMap that the gateway mounts.

The node agent reads the same document for its proxy's allow-list. It holds no secret.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from datetime import datetime

from piavpn.api import codec, piavpns, protocols

KEY = "config.json"
"""The document's key in the ConfigMap."""
CUSTOM_REGION = "custom"
"""What stands for the region of servers that `spec` names: no id of PIA's."""
DEFAULT_GRACE_SECONDS = 3600
DEFAULT_RETURN_SECONDS = 1800


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """A WireGuard server to register at, in the order in which to try them."""

    region: str
    cn: str
    address: ipaddress.IPv4Address
    port: int


@dataclasses.dataclass(frozen=True, slots=True)
class Renewal:
    """The session that is to be replaced by one at another server, and when.

    It names its session, so that a document that is read late never ends the session that followed.
    """

    public_key: str
    """Our WireGuard public key of that session, base64, as in `status.session`."""
    time: datetime
    """When to make the new session, from which on nothing new uses the old one; whole seconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class PortForwarding:
    """Where the port goes that PIA forwards."""

    address: ipaddress.IPv4Address
    """The receiver's, on the bridge."""
    protocol: protocols.ForwardedProtocol = protocols.ForwardedProtocol.BOTH
    port: int | None = None
    """The receiver's port; None for the one that PIA assigns."""
    receiver: str = ""
    """The app's `namespace/name`, by which the operator knows who has the port."""


@dataclasses.dataclass(frozen=True, slots=True)
class GatewayConfig:
    """All that a gateway is told, but for the token."""

    vpn: str
    network: piavpns.NetworkStatus
    cluster_domain: str
    servers: tuple[Server, ...]
    locations: tuple[str, ...] = ()
    """The region ids that a session may be in, the preferred ones first; empty for any."""
    avoided: tuple[str, ...] = ()
    """The region ids that a session must leave though `locations` is indifferent: those without
    port forwarding, while an app wants a port."""
    without_port: tuple[str, ...] = ()
    """The region ids where PIA forwards no port: no server there is left, or tried, for one."""
    ca_bundle: str | None = None
    dedicated_ip: bool = codec.field("dedicatedIP", default=False)
    """Whether the server is a dedicated IP, which takes a token of its own."""
    renewal: Renewal | None = None
    grace_seconds: int = DEFAULT_GRACE_SECONDS
    """How long connections may stay on a renewed session's old server before they are cut."""
    return_seconds: int = DEFAULT_RETURN_SECONDS
    """How long the gateway stays in a fallback location before it tries a preferred one again."""
    status_url: str = codec.field("statusURL", default=piavpns.STATUS_URL)
    """Whom to ask, through the tunnel, under which address the Internet sees it."""
    public_ca_bundle: str | None = codec.field("publicCABundle", default=None)
    """What vouches for `status_url`, in PEM; absent: the public authorities."""
    dns_upstreams: tuple[ipaddress.IPv4Address, ...] = ()
    """Resolvers to ask through the tunnel; none: those of the session."""
    port_forwarding: PortForwarding | None = None
    """None while no app receives a port: then PIA is asked for none."""
    port_check_url: str | None = codec.field("portCheckURL", default=None)
    """Whom to ask, through the tunnel, whether the port is open; None: nobody is asked."""
    port_check_requested_time: datetime | None = None
    """When somebody asked last to have that tried at once."""

    def to_json(self) -> str:
        """Return the document; equal configs give equal text."""
        return json.dumps(codec.encode(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> GatewayConfig:
        """Read the document.

        Raises:
            ValueError: it is not JSON, or not such a document.
        """
        return codec.decode(cls, json.loads(text))
