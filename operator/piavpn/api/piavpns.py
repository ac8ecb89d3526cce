"""PiaVpn as frozen dataclasses.

`crds/piavpns.yaml` describes every field; a test holds the two together. Bounds and
defaults live in the schema; the defaults here equal them, for objects that never went through an
API server.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any

from piavpn.api import codec, conditions, names, placement, selectors

TOKEN_URL = "https://www.privateinternetaccess.com/api/client/v2/token"  # noqa: S105 - an address
SERVER_LIST_URL = "https://serverlist.piaservers.net/vpninfo/servers/v6"
DEDICATED_IP_URL = "https://www.privateinternetaccess.com/api/client/v2/dedicated_ip"
STATUS_URL = "https://www.privateinternetaccess.com/api/client/status"
AUTO_LOCATION = "auto"


@dataclasses.dataclass(frozen=True, slots=True)
class CredentialsSecretRef:
    """The Secret with the PIA account, in the operator's namespace."""

    name: str
    username_key: str = "username"
    password_key: str = "password"  # noqa: S105 - a key's name

    @property
    def account_name(self) -> str:
        """The name of the Secret with the token that these credentials get."""
        return names.account_name(self.name, self.username_key, self.password_key)


@dataclasses.dataclass(frozen=True, slots=True)
class DedicatedIpSecretRef:
    """The Secret with the token of a dedicated IP, in the operator's namespace."""

    name: str
    key: str = "token"


class NodeEncryption(StrEnum):
    """How what a VPN's pods send each other is kept from who listens between the nodes."""

    NONE = "None"
    WIREGUARD = "WireGuard"


@dataclasses.dataclass(frozen=True, slots=True)
class NetworkSpec:
    """What may be said about the VPN's own network."""

    subnet: ipaddress.IPv4Network | None = None
    service_isolation: bool = True
    node_encryption: NodeEncryption = NodeEncryption.NONE


@dataclasses.dataclass(frozen=True, slots=True)
class WireguardServer:
    """A WireGuard server that is used instead of those of PIA's list."""

    cn: str
    address: ipaddress.IPv4Address
    port: int = 1337


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoints:
    """Where PIA is, and what vouches for it. Absent PEM fields mean the built-in ones."""

    token_url: str = codec.field("tokenURL", default=TOKEN_URL)
    server_list_url: str = codec.field("serverListURL", default=SERVER_LIST_URL)
    dedicated_ip_url: str = codec.field("dedicatedIPURL", default=DEDICATED_IP_URL)
    status_url: str = codec.field("statusURL", default=STATUS_URL)
    port_check_url: str | None = codec.field("portCheckURL", default=None)
    server_list_public_key: str | None = None
    ca_bundle: str | None = None
    public_ca_bundle: str | None = codec.field("publicCABundle", default=None)
    wireguard_servers: tuple[WireguardServer, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class RenewalWindow:
    """The part of each day in which sessions are renewed."""

    start: time
    end: time
    """At or before `start`: of the next day."""
    time_zone: str = "UTC"


@dataclasses.dataclass(frozen=True, slots=True)
class RenewalSpec:
    """When a working session is replaced by a new one."""

    interval: timedelta = timedelta(hours=720)
    grace_period: timedelta = timedelta(hours=1)
    window: RenewalWindow | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class DnsSpec:
    """Who answers the apps' questions for names of the Internet."""

    upstreams: tuple[ipaddress.IPv4Address, ...] = ()
    """Asked through the tunnel; none: the resolvers that the session's server names."""


@dataclasses.dataclass(frozen=True, slots=True)
class HttpProxy:
    """A proxy through the tunnel, for apps of which only some requests should go there."""

    port: int = 8888


@dataclasses.dataclass(frozen=True, slots=True)
class PiaVpnSpec:
    """What the user wants of a tunnel."""

    credentials_secret_ref: CredentialsSecretRef
    server_location: str = AUTO_LOCATION
    fallback_locations: tuple[str, ...] = ()
    network: NetworkSpec = NetworkSpec()
    dns: DnsSpec = DnsSpec()
    endpoints: Endpoints = Endpoints()
    renewal: RenewalSpec = RenewalSpec()
    dedicated_ip_secret_ref: DedicatedIpSecretRef | None = None
    return_after: timedelta = timedelta(minutes=30)
    allowed_namespaces: selectors.LabelSelector | None = None
    """Whose apps may use the tunnel; None for all."""
    bypass_cidrs: tuple[ipaddress.IPv4Network, ...] = codec.field("bypassCIDRs", default=())
    """What all of its apps reach past the tunnel."""
    http_proxy: HttpProxy | None = None
    gateway: placement.Gateway | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class NetworkStatus:
    """The VPN's network as it was allocated."""

    subnet: ipaddress.IPv4Network
    bridge: str
    host_address: ipaddress.IPv4Address
    gateway_address: ipaddress.IPv4Address


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """The registration that the gateway uses now. Written by the gateway."""

    region: str
    server: str
    server_address: ipaddress.IPv4Address
    link: str
    peer_address: ipaddress.IPv4Address
    public_key: str
    registered_time: datetime
    renew_time: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class MeasuredRegion:
    """How far a region is: the time of a TCP connect to its nearest server."""

    region: str
    latency_milliseconds: int


@dataclasses.dataclass(frozen=True, slots=True)
class ForwardedPort:
    """The port that PIA forwards to the VPN's receiver. Written by the gateway."""

    port: int
    expires_at: datetime
    """Until when PIA's signature holds; a new one is had before."""
    last_bound_at: datetime | None = None
    receiver: str | None = None
    """`namespace/name` of the app that it goes to; a labelled pod's begins with `pod `."""


@dataclasses.dataclass(frozen=True, slots=True)
class LabelledPods:
    """What labelled pods are given as they are made, by an admission policy or their author."""

    gate_image: str
    cluster_domain: str


@dataclasses.dataclass(frozen=True, slots=True)
class PiaVpnStatus:
    """What is known of a tunnel."""

    observed_generation: int = 0
    network: NetworkStatus | None = None
    session: Session | None = None
    candidate_servers: tuple[ipaddress.IPv4Address, ...] = ()
    """The servers that the gateway goes by now. Written by the gateway."""
    servers: tuple[MeasuredRegion, ...] = ()
    exit_address: ipaddress.IPv4Address | None = None
    forwarded_port: ForwardedPort | None = None
    services: int = 0
    labelled_pods: LabelledPods | None = None
    node_name: str | None = None
    conditions: tuple[conditions.Condition, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class PiaVpn:
    """A PiaVpn as read from the API."""

    name: str
    uid: str
    generation: int
    spec: PiaVpnSpec
    status: PiaVpnStatus
    deleting: bool = False
    renew_requested_at: str | None = None
    """Annotation piavpn.dev/renew-requested-at, as it was written."""
    check_port_requested_at: str | None = None
    """Annotation piavpn.dev/check-port-requested-at, as it was written."""

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> PiaVpn:
        """Read one from the API.

        Raises:
            ValueError: a field does not fit its type, as after a downgrade of the CRD.
        """
        metadata = body["metadata"]
        annotations = metadata.get("annotations") or {}
        return cls(
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            generation=metadata.get("generation", 0),
            deleting="deletionTimestamp" in metadata,
            renew_requested_at=annotations.get(names.ANNOTATION_RENEW_REQUESTED_AT),
            check_port_requested_at=annotations.get(names.ANNOTATION_CHECK_PORT_REQUESTED_AT),
            spec=codec.decode(PiaVpnSpec, body["spec"]),
            status=codec.decode(PiaVpnStatus, body.get("status") or {}),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Unreadable:
    """An object that is there and cannot be read, as after a downgrade of the CRDs."""

    name: str
    uid: str
    generation: int
    message: str
    status: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """As the API has it: a pod may live by it, so it is written back as it is."""
    conditions: tuple[conditions.Condition, ...] = ()

    @classmethod
    def from_body(cls, body: Mapping[str, Any], error: ValueError) -> Unreadable:
        """Keep what is needed to say so in its status."""
        metadata, status = body["metadata"], body.get("status") or {}
        try:
            known = codec.decode(PiaVpnStatus, status).conditions
        except ValueError:
            known = ()
        return cls(
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            generation=metadata.get("generation", 0),
            message=f"this operator cannot read it: {error}",
            status=status,
            conditions=known,
        )
