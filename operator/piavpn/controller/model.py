"""What one pass of the operator sees, and what it makes of it. Pure data."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from piavpn.api import conditions, gateway_config, piavpns, vpnapps
from piavpn.controller import settings
from piavpn.pia import dedicated, serverlist

Object = dict[str, Any]
ServiceKey = tuple[str, str]
"""Namespace and name of a VpnServiceContainer, and of all that is made for it."""
ObjectKey = tuple[str, str, str]
"""Plural of the kind, namespace and name of an object."""


LONGEST_WAIT = timedelta(days=1)
"""For which anything is put off at most."""


def is_due(moment: datetime, now: datetime) -> bool:
    """Tell whether the moment until which something was put off has come.

    One that lies further ahead than anything is put off was reckoned by a clock that was wrong, as
    that of a node before it hears of the time: nothing may wait for it.
    """
    return not now < moment <= now + LONGEST_WAIT


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """A call to PIA that failed, and when it may be tried again."""

    reason: str
    message: str
    retry_time: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """The PIA account as its Secret has it. Only a login reads more than the fingerprint."""

    username: str = dataclasses.field(repr=False)
    password: str = dataclasses.field(repr=False)
    fingerprint: str = dataclasses.field(repr=False)
    """Of the Secret and what is in it: another one is tried at once."""
    login: str = dataclasses.field(default="", repr=False)
    """Of user name and password: the same in two Secrets is one login."""
    account: str = dataclasses.field(default="", repr=False)
    """Of the user name: tunnels of one account must not share a server."""


@dataclasses.dataclass(frozen=True, slots=True)
class CredentialsProblem:
    """Why there are no credentials."""

    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """What is known of an account at PIA: a token, or why there is none."""

    fingerprint: str = dataclasses.field(repr=False)
    has_token: bool
    token_time: datetime | None = None
    failure: Failure | None = None
    failures: int = 0
    """How many logins with these credentials have failed in a row."""
    login: str = dataclasses.field(default="", repr=False)
    account: str = dataclasses.field(default="", repr=False)
    """As in the credentials that it came of."""


@dataclasses.dataclass(frozen=True, slots=True)
class ServerListState:
    """The newest verified server list, and why a newer one is not there."""

    servers: serverlist.ServerList | None = None
    list_time: datetime | None = None
    """When PIA served the list."""
    failure: Failure | None = None
    failures: int = 0
    """How many fetches in a row have failed."""
    latencies: Mapping[ipaddress.IPv4Address, float] | None = None
    """Seconds by address, of the servers that answered; None before they were measured."""
    refresh_time: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class DedicatedState:
    """What PIA said of a dedicated IP, or why there is no newer word."""

    found: dedicated.DedicatedIp | None = None
    failure: Failure | None = None
    refresh_time: datetime | None = None
    rejected: datetime | None = None
    """When the account's token was issued that PIA rejected at this question."""


@dataclasses.dataclass(frozen=True, slots=True)
class Silence:
    """That a node's agent is not heard of."""

    since: datetime | None
    """Its last word, by its own clock; None where there was none."""


@dataclasses.dataclass(frozen=True, slots=True)
class LostNode:
    """A node on which a pod of ours is, and whose kubelet does not say anything of it."""

    since: datetime | None = None
    deleted: bool = False
    """Whether its Node object is gone, and not only silent."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sibling:
    """Another PiaVpn of the same PIA account: the two must not share a server."""

    vpn: piavpns.PiaVpn
    config: gateway_config.GatewayConfig | None
    """What its gateway is told."""
    running: bool
    """Whether there is a pod of its gateway."""
    server_list: ServerListState = ServerListState()
    port_forwarding: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """All that a pass over one VPN looks at."""

    now: datetime
    settings: settings.Settings
    name: str
    vpn: piavpns.PiaVpn | None = None
    invalid: piavpns.Unreadable | None = None
    other_vpns: tuple[piavpns.PiaVpn, ...] = ()
    services: tuple[vpnapps.VpnServiceContainer, ...] = ()
    namespace_labels: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    """Of the namespaces, where the VPN is not for all of them."""
    cluster_cidrs: tuple[ipaddress.IPv4Network, ...] = ()
    node_addresses: tuple[ipaddress.IPv4Address, ...] = ()
    api_address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    """Of the API server's own Service."""
    credentials: Credentials | CredentialsProblem | None = None
    account: Account | None = None
    server_list: ServerListState = ServerListState()
    dedicated_token: str | CredentialsProblem | None = dataclasses.field(default=None, repr=False)
    """That of the dedicated IP, where `spec` names one, or what is wrong with its Secret."""
    dedicated: DedicatedState = DedicatedState()
    gateway_pod: Object | None = None
    gateway_refusal: str = ""
    """What the API server said when it took no pod of the gateway."""
    gateway_config: gateway_config.GatewayConfig | None = None
    has_http_proxy: bool = False
    """Whether the Service of an HTTP proxy is there."""
    port_forwarding: bool = False
    """Whether a service of the VPN receives a forwarded port."""
    siblings: tuple[Sibling, ...] = ()
    held: Mapping[str, frozenset[ipaddress.IPv4Address]] = dataclasses.field(default_factory=dict)
    """Servers that gateways still have whose PiaVpn is gone or cannot be read, by its name."""
    service_pods: Mapping[ServiceKey, Object] = dataclasses.field(default_factory=dict)
    labelled_pods: tuple[Object, ...] = ()
    """Those of the VPN that have not ended, the oldest first."""
    pods_elsewhere: Mapping[ipaddress.IPv4Address, str] = dataclasses.field(default_factory=dict)
    """Addresses of living pods that go through other VPNs, and these VPNs' names."""
    silent_agents: Mapping[str, Silence] = dataclasses.field(default_factory=dict)
    """By node, of those on which pods of this VPN are."""
    lost_nodes: Mapping[str, LostNode] = dataclasses.field(default_factory=dict)
    """By name, of those on which pods of this VPN are that are not ready."""
    foreign: Mapping[ServiceKey, str] = dataclasses.field(default_factory=dict)
    """Services whose name belongs to an object that is not theirs, and which it is."""
    refusals: Mapping[ServiceKey, str] = dataclasses.field(default_factory=dict)
    """What the API server said when it took no object, or no pod, of a service."""
    warnings: Mapping[ServiceKey, str] = dataclasses.field(default_factory=dict)
    """What was said last of a service's pod that should have started."""
    made: Mapping[ObjectKey, Object] = dataclasses.field(default_factory=dict)
    """What there is of the objects that the pass may make."""
    services_with_ports: frozenset[ServiceKey] = frozenset()
    """Services that have a Service object in the cluster now."""
    services_with_pods: frozenset[ServiceKey] = frozenset()
    """Services that have a StatefulSet in the cluster now."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """One condition, before it has a type, a generation and a time."""

    status: conditions.Status
    reason: str
    message: str = ""

    @property
    def holds(self) -> bool:
        """Tell whether the status is True."""
        return self.status is conditions.Status.TRUE


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """What is worth an Event and is no condition."""

    type: str
    """Normal or Warning."""
    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Errands:
    """Calls to PIA that the pass asks for. They run beside it and wake the next pass."""

    login: bool = False
    fetch_list: bool = False
    measure: bool = False
    look_up: bool = False
    """Where the dedicated IP is."""


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceDecision:
    """What is to be done about one service."""

    service: vpnapps.VpnServiceContainer
    address: ipaddress.IPv4Address | None
    accepted: Verdict
    ready: Verdict
    told: Mapping[conditions.ServiceCondition, Verdict] = dataclasses.field(default_factory=dict)
    """What the node agent says of its pod."""
    announced: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    """Annotations that its pod is to have; None for those that it is not to have."""
    forwarded_port: int | None = None
    """The port that PIA forwards to it."""


@dataclasses.dataclass(frozen=True, slots=True)
class LabelledDecision:
    """What is to be done about one labelled pod."""

    pod: Object
    accepted: Verdict
    address: ipaddress.IPv4Address | None = None
    """That it has, or is to have."""
    ends: bool = False
    """Whether it is to be deleted."""


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What one pass makes of what it saw."""

    network: piavpns.NetworkStatus | None
    gateway: gateway_config.GatewayConfig | None
    verdicts: Mapping[conditions.PiaVpnCondition, Verdict]
    node: str | None
    """Where the gateway is."""
    services: tuple[ServiceDecision, ...]
    errands: Errands
    requeue_seconds: float
    labelled: tuple[LabelledDecision, ...] = ()
    wakes: frozenset[str] = frozenset()
    """PiaVpns that are due for a pass because of this one."""
    measured: tuple[piavpns.MeasuredRegion, ...] = ()
    notices: tuple[Notice, ...] = ()
