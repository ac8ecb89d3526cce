"""What a pass of the operator may see: one tunnel that works, to be changed by each test."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from piavpn.api import conditions, gateway_config, piavpns, vpnapps
from piavpn.api.conditions import Condition, Status
from piavpn.controller import model, settings
from piavpn.pia.serverlist import Region, ServerList, WireGuardServer

IP = ipaddress.IPv4Address
NET = ipaddress.IPv4Network
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
LATER = NOW + timedelta(minutes=10)

SUBNET = NET("10.100.0.0/24")
NETWORK = piavpns.NetworkStatus(SUBNET, "br-home", IP("10.100.0.1"), IP("10.100.0.2"))
CLUSTER_CIDRS = (NET("10.244.0.0/16"), NET("10.96.0.0/16"))
SETTINGS = settings.Settings("piavpn-system", "piavpn:0.1.0", "cluster.local", ())
CREDENTIALS = model.Credentials("p1234567", "correct horse", "print-1")
ACCOUNT = model.Account("print-1", has_token=True, token_time=EARLIER)


def region(region_id: str, name: str, *servers: tuple[str, str]) -> Region:
    return Region(
        id=region_id,
        name=name,
        country="XX",
        port_forward=True,
        geo=False,
        offline=False,
        servers=tuple(WireGuardServer(cn, IP(address)) for cn, address in servers),
    )


SERVERS = ServerList(
    regions=(
        region("swiss", "Switzerland", ("zurich401", "198.18.1.1"), ("zurich402", "198.18.1.2")),
        region("nl_amsterdam", "Netherlands", ("amsterdam401", "198.18.2.1")),
        region("de-frankfurt", "DE Frankfurt", ("frankfurt401", "198.18.3.1")),
    ),
    port=1337,
)
ZURICH_401 = gateway_config.Server("swiss", "zurich401", IP("198.18.1.1"), 1337)
ZURICH_402 = gateway_config.Server("swiss", "zurich402", IP("198.18.1.2"), 1337)
AMSTERDAM_401 = gateway_config.Server("nl_amsterdam", "amsterdam401", IP("198.18.2.1"), 1337)
KNOWN_LIST = model.ServerListState(
    servers=SERVERS, list_time=EARLIER, refresh_time=NOW + timedelta(hours=1)
)
CONFIG = gateway_config.GatewayConfig(
    vpn="home",
    network=NETWORK,
    cluster_domain="cluster.local",
    servers=(ZURICH_401, ZURICH_402),
    locations=("swiss",),
)


def condition(
    kind: str, status: Status = Status.TRUE, reason: str = "Fine", message: str = ""
) -> Condition:
    return Condition(kind, status, reason, message, 1, EARLIER)


WORKING = (
    condition(conditions.PiaVpnCondition.REGISTERED),
    condition(conditions.PiaVpnCondition.TUNNEL_UP),
)


def vpn(  # noqa: PLR0913 - what a test may want of it
    name: str = "home",
    *,
    location: str = "swiss",
    fallbacks: tuple[str, ...] = (),
    subnet: ipaddress.IPv4Network | None = None,
    status: piavpns.PiaVpnStatus | None = None,
    deleting: bool = False,
) -> piavpns.PiaVpn:
    return piavpns.PiaVpn(
        name=name,
        uid=f"uid-of-{name}",
        generation=3,
        spec=piavpns.PiaVpnSpec(
            credentials_secret_ref=piavpns.CredentialsSecretRef("pia-credentials"),
            server_location=location,
            fallback_locations=fallbacks,
            network=piavpns.NetworkSpec(subnet),
        ),
        status=status or piavpns.PiaVpnStatus(),
        deleting=deleting,
    )


def holding(subnet: ipaddress.IPv4Network, name: str = "home") -> piavpns.PiaVpnStatus:
    """Return the status of a VPN that was given this subnet, and whose tunnel works."""
    network = piavpns.NetworkStatus(subnet, f"br-{name}", subnet[1], subnet[2])
    return piavpns.PiaVpnStatus(network=network, conditions=WORKING)


def at(server: str, name: str = "downloads") -> piavpns.PiaVpn:
    """Return another VPN, whose tunnel ends at this server."""
    session = piavpns.Session(
        region="swiss",
        server="zurich",
        server_address=IP(server),
        link="piaw0",
        peer_address=IP("10.5.0.9"),
        public_key="key",
        registered_time=EARLIER,
    )
    return vpn(name, status=piavpns.PiaVpnStatus(session=session))


def sibling(
    server: str | None = None,
    *listed: gateway_config.Server,
    name: str = "downloads",
    known: tuple[gateway_config.Server, ...] = (),
    running: bool = True,
) -> model.Sibling:
    """Return another VPN of the account: its tunnel ends at `server`, it was told of `listed`.

    Its gateway says that it goes by `known`.
    """
    other = at(server, name) if server is not None else vpn(name)
    status = dataclasses.replace(
        other.status, candidate_servers=tuple(each.address for each in known)
    )
    return model.Sibling(
        vpn=dataclasses.replace(other, status=status),
        config=dataclasses.replace(CONFIG, vpn=name, servers=listed),
        running=running,
        server_list=KNOWN_LIST,
    )


def service(
    name: str = "web",
    *,
    ip: str | None = None,
    address: str | None = None,
    age: int = 0,
    ports: tuple[vpnapps.ServicePort, ...] = (vpnapps.ServicePort("web", 8080),),
) -> vpnapps.VpnServiceContainer:
    """Return a service of `home`: `ip` is asked for, `address` is held, `age` is in seconds."""
    return vpnapps.VpnServiceContainer(
        name=name,
        namespace="media",
        uid=f"uid-of-{name}",
        generation=2,
        created=EARLIER - timedelta(seconds=age),
        spec=vpnapps.VpnServiceContainerSpec(
            vpn_ref=vpnapps.VpnRef("home"),
            image="docker.io/library/busybox:1.37",
            ip=IP(ip) if ip else None,
            ports=ports,
        ),
        status=vpnapps.VpnServiceContainerStatus(
            address=IP(address) if address else None,
        ),
    )


ATTACHED = {"type": "piavpn.dev/Confined", "status": "True", "reason": "Attached"}
LEAK_FREE = {"type": "piavpn.dev/LeakFree", "status": "True", "reason": "NothingLeaked"}


def pod(  # noqa: PLR0913 - what a test may want of it
    *,
    phase: str = "Running",
    ready: bool = True,
    annotations: Mapping[str, str] | None = None,
    deleting: bool = False,
    node: str | None = "n1",
    told: tuple[dict[str, str], ...] = (ATTACHED, LEAK_FREE),
    **status: Any,
) -> model.Object:
    """Return a pod; `told` is what its node's agent says of it."""
    metadata: dict[str, Any] = {"name": "pod-0", "namespace": "media", "uid": "uid-of-pod"}
    metadata["annotations"] = dict(annotations or {})
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-23T11:59:00Z"
    found = [{"type": "Ready", "status": "True" if ready else "False"}, *told]
    return {
        "metadata": metadata,
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase, "conditions": found} | status,
    }


def service_pod(address: str = "10.100.0.10", **options: Any) -> model.Object:
    return pod(annotations={"piavpn.dev/address": address}, **options)


def seen(**changes: Any) -> model.Observed:
    """Return what is seen of the tunnel `home` that works and has no services."""
    fine = model.Observed(
        now=NOW,
        settings=SETTINGS,
        name="home",
        vpn=vpn(status=holding(SUBNET)),
        cluster_cidrs=CLUSTER_CIDRS,
        credentials=CREDENTIALS,
        account=ACCOUNT,
        server_list=KNOWN_LIST,
        gateway_pod=pod(),
        gateway_config=CONFIG,
    )
    return dataclasses.replace(fine, **changes)


def failed_login(reason: str, retry: datetime) -> model.Account:
    return model.Account(
        "print-1", has_token=False, failure=model.Failure(reason, "what PIA said", retry)
    )
