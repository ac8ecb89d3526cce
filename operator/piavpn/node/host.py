"""The node's own side: bridges, the filter around them, and the bootstrap proxies."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib
import shutil
import time
from collections.abc import Iterable

from pyroute2 import NetlinkError

from piavpn import logs
from piavpn.net import nft, programs
from piavpn.node import (
    bridge,
    canonical,
    hostfilter,
    layers,
    links,
    meshlink,
    model,
    outlets,
    overlay,
    passage,
    ports,
    reasons,
)
from piavpn.node.decide import Problem
from piavpn.node.model import Network
from piavpn.node.plans import NodePlan
from piavpn.node.proxy import Proxy, ProxyError

log = logging.getLogger(__name__)

_NODES_DIRECTORY = ".nodes"  # beside the VPNs' own: no PiaVpn's name begins with a dot
REMOVAL_SECONDS = 15.0
"""How long a VPN without pods here is kept: a replaced gateway comes back to the same bridge."""


@dataclasses.dataclass(frozen=True, slots=True)
class Problems:
    """What went wrong, by VPN."""

    bridges: dict[str, Problem] = dataclasses.field(default_factory=dict)
    """No pod of these can be attached."""
    proxies: dict[str, Problem] = dataclasses.field(default_factory=dict)
    """The gateways of these cannot register."""
    overlays: dict[str, Problem] = dataclasses.field(default_factory=dict)
    """Pods of these do not reach those on other nodes."""


class Host:
    """Makes and removes what the VPNs need on the node itself.

    In the calling thread's namespace, which is the node's.
    """

    def __init__(
        self,
        known: canonical.Canonical,
        wireguard: links.Links,
        filters: outlets.Outlets,
        state: pathlib.Path,
        *,
        removal_seconds: float = REMOVAL_SECONDS,
    ) -> None:
        """Take over what an earlier agent left.

        Args:
            known: tells how intact rule sets are listed.
            wireguard: the gateways' links, to remove what they leave behind.
            filters: the filter on the node's ends of service pods' links.
            state: directory of the VPNs' own directories.
            removal_seconds: how long a VPN that is not planned any more is kept.
        """
        self._canonical = known
        self._links = wireguard
        self._outlets = filters
        self._state = state
        self._removal_seconds = removal_seconds
        self.mesh = meshlink.MeshLink(known, wireguard, state / _NODES_DIRECTORY)
        self._unused_since: dict[str, float] = {}
        self._proxies: dict[str, Proxy] = {}
        self._layers: layers.Seen | None = None

    def bring(self, plan: NodePlan) -> Problems:
        """Make the node as planned; return what went wrong."""
        self._links.reap()
        present = self._without_unused(plan, self._removal_seconds)
        self._outlets.know(plan.inside)
        try:
            joined = self._without_unused_overlays(plan)
            self._filter(plan, present.values())
            ports.ensure_guard(self._canonical)
            self._outlets.ensure()
            self._tell_layers()
        except (nft.NftError, NetlinkError) as error:
            # Without the filters no bridge may be there for a pod to come to.
            problem = Problem(reasons.BRIDGE_FAILED, f"the node's filters cannot be set: {error}")
            return Problems(bridges=dict.fromkeys(plan.networks, problem))
        problems = Problems()
        unmeshed = self.mesh.settle(plan.mesh)
        for vpn, network in plan.networks.items():
            if failed := self._bridge(network, present.get(vpn)):
                problems.bridges[vpn] = failed
                continue
            if failed := self._join(plan, vpn, joined, unmeshed):
                problems.overlays[vpn] = failed
            if failed := self._proxy(plan, network):
                problems.proxies[vpn] = failed
        for vpn in self._proxies.keys() - plan.proxies.keys():
            self._proxies.pop(vpn).stop()
        return problems

    def stop(self) -> None:
        """End the proxies, which need the agent. Bridges, filters and links stay."""
        while self._proxies:
            self._proxies.popitem()[1].stop()

    def leave(self, plan: NodePlan) -> None:
        """Remove at once what no pod here needs: another agent may never come.

        Args:
            plan: what the pods that are here need.
        """
        try:
            self._without_unused_overlays(plan)
            alone = dataclasses.replace(plan, joined=bool(plan.overlays))
            self._filter(alone, self._without_unused(plan, kept_seconds=0.0).values())
            ports.ensure_guard(self._canonical)
            self._outlets.ensure()
            if plan.mesh is None:
                self.mesh.leave()
        except (nft.NftError, NetlinkError, OSError) as error:
            log.warning("not all could be removed that no pod needs: %s", error)
        self._links.remove_cgroups()

    def _tell_layers(self) -> None:
        seen = layers.look()
        if seen != self._layers:
            log.info("%s", layers.in_words(seen))
        self._layers = seen

    def _without_unused(self, plan: NodePlan, kept_seconds: float) -> dict[str, bridge.Present]:
        """Remove the bridges that no pod has needed for so long, and return the others."""
        present = bridge.present()
        for vpn in self._unused(plan, present, kept_seconds):
            subject = logs.about("PiaVpn", vpn)
            log.info("it has no pod here any more: removing its bridge", extra=subject)
            self._remove(present.pop(vpn))
        return present

    def _unused(
        self, plan: NodePlan, present: dict[str, bridge.Present], kept_seconds: float
    ) -> set[str]:
        now = time.monotonic()
        # Ports tell nothing: the kernel keeps a pod's network for minutes after its end, where the
        # peer of a TCP connection does not answer any more.
        unused = present.keys() - plan.networks.keys() - plan.inhabited
        self._unused_since = {vpn: self._unused_since.get(vpn, now) for vpn in unused}
        return {
            vpn
            for vpn, since in self._unused_since.items()
            if now - since >= kept_seconds or _is_in_the_way(present[vpn], plan)
        }

    def _remove(self, seen: bridge.Present) -> None:
        try:
            passage.close(seen.name)
        except (nft.NftError, programs.ProgramError) as error:
            # A rule for a link that is gone harms nobody; a bridge that stays is in the way.
            log.warning("bridge %s leaves its rule in chain FORWARD: %s", seen.name, error)
        ports.remove(seen.name)
        bridge.remove(seen)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._state / seen.vpn)
        self._links.remove_cgroups()

    def _filter(self, plan: NodePlan, present: Iterable[bridge.Present]) -> None:
        bridges = {seen.name: hostfilter.Bridge(seen.name, proxy=None) for seen in present}
        for vpn, network in plan.networks.items():
            proxy = (network.gateway, network.host) if vpn in plan.proxies else None
            bridges[network.bridge] = hostfilter.Bridge(network.bridge, proxy)
        there = nft.find_table(hostfilter.TABLE)
        nodes = plan.inside.nodes if plan.joined else ()
        if not bridges and not nodes:
            if there is not None:
                nft.delete_table(hostfilter.TABLE)
            return
        ruleset = hostfilter.ruleset(bridges.values(), nodes)
        if there != self._canonical.listing(hostfilter.TABLE, ruleset):
            nft.load(ruleset)

    def _bridge(self, network: Network, before: bridge.Present | None) -> Problem | None:
        try:
            if bridge.ensure(network, before):
                subject = logs.about("PiaVpn", network.vpn)
                log.info("bridge %s is set up", network.bridge, extra=subject)
            passage.open_(network.bridge)
        except bridge.SubnetInUseError as error:
            return Problem(reasons.SUBNET_IN_USE, str(error))
        except (NetlinkError, OSError, nft.NftError, programs.ProgramError) as error:
            return Problem(
                reasons.BRIDGE_FAILED, f"bridge {network.bridge} cannot be set up: {error}"
            )
        return None

    @staticmethod
    def _without_unused_overlays(plan: NodePlan) -> dict[str, overlay.Present]:
        """Remove the links to other nodes that are not planned, and return the others."""
        present = overlay.present()
        for name in present.keys() - {wanted.link for wanted in plan.overlays.values()}:
            overlay.remove(present.pop(name))
        return present

    def _join(
        self,
        plan: NodePlan,
        vpn: str,
        joined: dict[str, overlay.Present],
        unmeshed: Problem | None,
    ) -> Problem | None:
        """Join the VPN's bridge to other nodes'; return what keeps it from any of them."""
        failed = None
        if wanted := plan.overlays.get(vpn):
            failed = unmeshed if wanted.network.encrypted else None
            failed = failed or self._bring_overlay(wanted, joined.get(wanted.link))
        return failed or plan.keyless.get(vpn)

    def _bring_overlay(
        self, wanted: model.Overlay, there: overlay.Present | None
    ) -> Problem | None:
        vpn, bridge_name = wanted.network.vpn, wanted.network.bridge
        try:
            if overlay.ensure(wanted, there, self._canonical):
                nodes = ", ".join(map(str, sorted(wanted.nodes)))
                subject = logs.about("PiaVpn", vpn)
                log.info("bridge %s is joined to nodes %s", bridge_name, nodes, extra=subject)
        except overlay.OverlayError as error:
            return Problem(reasons.OVERLAY_FAILED, str(error))
        except (NetlinkError, nft.NftError) as error:
            return Problem(
                reasons.OVERLAY_FAILED,
                f"bridge {bridge_name} cannot be joined to those of other nodes: {error}",
            )
        return None

    def _proxy(self, plan: NodePlan, network: Network) -> Problem | None:
        if network.vpn not in plan.proxies:
            return None
        directory = self._state / network.vpn / "proxy"
        proxy = self._proxies.setdefault(network.vpn, Proxy(directory))
        try:
            proxy.ensure(network, plan.proxies[network.vpn])
        except (ProxyError, OSError) as error:
            return Problem(reasons.PROXY_FAILED, str(error))
        return None


def _is_in_the_way(unused: bridge.Present, plan: NodePlan) -> bool:
    """Tell whether another VPN has been given the subnet since."""
    host = unused.host
    return host is not None and any(
        network.subnet.overlaps(host.network) for network in plan.networks.values()
    )
