"""Bring one pod's namespace to what its plan says, and read it back."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Collection

from pyroute2 import NetlinkError

from piavpn.api import names
from piavpn.net import cni, netns, nft, routes, routing
from piavpn.node import (
    alarms,
    canonical,
    decide,
    guard,
    leaktests,
    links,
    lock,
    outlet,
    outlets,
    podnet,
    ports,
    reasons,
    sandbox,
    ways_out,
)
from piavpn.node.decide import Problem, Step, Verified
from piavpn.node.model import ClusterLink, PodPlan, PodState, Role

log = logging.getLogger(__name__)

TEARDOWN_SECONDS = 10.0
"""How long a sandbox may outlive its link to the cluster before somebody else took that away."""


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """The pod is attached and locked: read back from the kernel, not assumed."""

    steps: tuple[Step, ...]
    """What had to be done for it; empty when all was right already."""


class Attacher:
    """Attaches pods from the calling thread's namespace, which is the node's.

    It knows what each sandbox had when it was last right. A service's pod that has lost of it
    since is not repaired in the open: its app, or whoever got in, may be sending. It is cut off.
    """

    def __init__(  # noqa: PLR0913 - these are the parts that it drives
        self,
        known: canonical.Canonical,
        wireguard: links.Links,
        filters: outlets.Outlets,
        bells: alarms.Alarms,
        tests: leaktests.LeakTests,
        *,
        teardown_seconds: float = TEARDOWN_SECONDS,
    ) -> None:
        self._canonical = known
        self._links = wireguard
        self._outlets = filters
        self._alarms = bells
        self._leak_tests = tests
        self._verified: dict[sandbox.Sandbox, Verified] = {}
        self._damaged: dict[sandbox.Sandbox, str] = {}
        self._torn_down: dict[sandbox.Sandbox, float] = {}
        """Those that seem to be ending, and since when."""
        self._teardown_seconds = teardown_seconds
        self._unforeseen: dict[sandbox.Sandbox, str] = {}
        """Errors that were logged."""
        self._told_of_no_end = False

    def bring(self, plan: PodPlan | Problem, seen: sandbox.Sandbox) -> Done | Problem:
        """Do what is left to do. Doing it again disturbs nothing.

        Args:
            plan: what must be; where that cannot be told, a pod that was attached is watched on.
            seen: the pod's sandbox.
        """
        try:
            return self._try(plan, seen)
        except Exception as error:
            # Whatever is wrong with one pod, the others are looked after.
            if self._unforeseen.get(seen) != repr(error):
                self._unforeseen[seen] = repr(error)
                log.exception("pod %s cannot be attached", seen.uid)
            return Problem(
                reasons.ATTACH_FAILED, f"unforeseen, see the log of the pod's node agent: {error!r}"
            )

    def keep(self, sandboxes: Collection[sandbox.Sandbox]) -> None:
        """Forget all other sandboxes."""
        self._verified = {seen: it for seen, it in self._verified.items() if seen in sandboxes}
        self._damaged = {seen: it for seen, it in self._damaged.items() if seen in sandboxes}
        self._torn_down = {seen: it for seen, it in self._torn_down.items() if seen in sandboxes}
        self._unforeseen = {seen: it for seen, it in self._unforeseen.items() if seen in sandboxes}
        self._alarms.keep(sandboxes)

    def _try(self, plan: PodPlan | Problem, seen: sandbox.Sandbox) -> Done | Problem:
        try:
            with sandbox.pinned(seen) as fd:
                return self._bring(plan, seen, fd)
        except sandbox.SandboxGoneError as error:
            return Problem(reasons.WAITING_FOR_SANDBOX, f"the pod's sandbox has ended: {error}")
        except nft.NftError as error:
            return Problem(reasons.LOCK_FAILED, str(error))
        except cni.CniError as error:
            return Problem(reasons.ATTACH_FAILED, str(error))
        except links.LinkError as error:
            return Problem(reasons.NO_WIREGUARD, str(error))
        except (NetlinkError, OSError, routes.MissingLinkError) as error:
            return Problem(reasons.KERNEL_REFUSED, f"the pod's network cannot be set up: {error}")

    def _bring(self, plan: PodPlan | Problem, seen: sandbox.Sandbox, fd: int) -> Done | Problem:
        # Before we look: what changes from now on is told. Of a pod that is yet to be attached what
        # we change ourselves would be, too.
        if seen in self._verified or isinstance(plan, Problem):
            self._alarms.listen(seen, fd)
        if isinstance(plan, Problem) and plan.reason == reasons.POD_NOT_ALLOWED:
            outlets.cut_off(fd)
            return plan
        role = self._role(plan, seen)
        state = podnet.observe(fd, role)
        if self._is_ending(seen, state):
            outlets.cut_off(fd)
            return Problem(
                reasons.WAITING_FOR_SANDBOX,
                "the pod's link to the cluster was taken down, as before the end of a sandbox:"
                " the pod is cut off",
            )
        if damage := self._damage(seen, role, state):
            return self._cut_off(seen, fd, damage)
        return plan if isinstance(plan, Problem) else self._settle(plan, state, seen, fd)

    def _role(self, plan: PodPlan | Problem, seen: sandbox.Sandbox) -> Role | None:
        if isinstance(plan, PodPlan):
            return plan.role
        verified = self._verified.get(seen)
        return verified.plan.role if verified is not None else None

    def _settle(
        self, plan: PodPlan, state: PodState, seen: sandbox.Sandbox, fd: int
    ) -> Done | Problem:
        link = state.cluster_link
        if link is None:
            return Problem(
                reasons.WAITING_FOR_CLUSTER_NETWORK,
                f"the cluster's CNI plugin has given the pod no address and default route on"
                f" {names.CLUSTER_LINK} yet",
            )
        if misplaced := decide.misplaced(plan, link):
            return misplaced
        ruleset = lock.ruleset(plan, link)
        addresses = plan.address, link.address
        intact = self._canonical.listing(lock.TABLE, ruleset, addresses)
        todo = decide.steps(plan, link, state, intact)
        if todo:
            self._verified.pop(seen, None)
        for step in todo:
            self._take(step, plan, link, state, seen, fd)
        # Whatever befell it before we listened, this look sees.
        listening = self._alarms.listen(seen, fd)
        settled = podnet.observe(fd, plan.role) if todo or listening else state
        if left := decide.steps(plan, link, settled, intact):
            return Problem(
                reasons.NOT_INTACT, f"set, but not there when read back: {', '.join(left)}"
            )
        if plan.role is Role.SERVICE:
            self._leak_tests.watch(seen, plan, link)
            if state.outlet is None:
                self._tell_of_no_end()
        self._verified[seen] = Verified(plan, link, intact, settled.other_routes)
        return Done(todo)

    def _tell_of_no_end(self) -> None:
        if not self._told_of_no_end:
            log.warning("pods' links have no end on this node: they are not filtered there")
        self._told_of_no_end = True

    def _is_ending(self, seen: sandbox.Sandbox, state: PodState) -> bool:
        """Tell whether the container runtime is taking a service's pod down, as it seems."""
        verified = self._verified.get(seen)
        if seen in self._damaged or verified is None or verified.plan.role is not Role.SERVICE:
            return False
        if not decide.is_torn_down(verified, state):
            return False
        now = time.monotonic()
        return now - self._torn_down.setdefault(seen, now) < self._teardown_seconds

    def _damage(self, seen: sandbox.Sandbox, role: Role | None, state: PodState) -> str:
        """Return what is, or was, found damaged; empty where nothing was."""
        if seen in self._damaged:
            return self._damaged[seen]
        if seen in self._torn_down:
            return "the link to the cluster went, and the sandbox did not end"
        if state.cut_off:
            return "the node agent found it damaged before it was restarted"
        if role is not Role.SERVICE:
            return ""
        verified = self._verified.get(seen)
        if verified is None:
            return decide.unseen_damage(state)
        found = decide.damage(verified, state)
        # A leak of a sound pod has a cause that we do not know: no less a reason.
        return "; ".join(found) or self._leak_tests.leak(seen)

    def _cut_off(self, seen: sandbox.Sandbox, fd: int, damage: str) -> Problem:
        # Whatever the damage was, and though it be undone: the pod has no way back.
        self._damaged[seen] = damage
        try:
            outlets.cut_off(fd)
        except (NetlinkError, OSError) as error:
            return Problem(
                reasons.TAMPERED, f"{damage}: to be replaced, but cannot be cut off: {error}"
            )
        return Problem(reasons.TAMPERED, f"{damage}: the pod is cut off and will be replaced")

    def _take(  # noqa: PLR0913, PLR0917 - all that is known of the pod
        self,
        step: Step,
        plan: PodPlan,
        link: ClusterLink,
        state: PodState,
        seen: sandbox.Sandbox,
        fd: int,
    ) -> None:
        match step:
            case Step.LOCK:
                with netns.entered(fd):
                    nft.load(lock.ruleset(plan, link))
            case Step.SYSCTLS:
                with netns.entered(fd):
                    podnet.write_sysctls(lock.sysctls(plan.role))
            case Step.OUTLET:
                self._filter(plan, link, state)
            case Step.DETACH:
                cni.delete_bridge(_attachment(plan, seen, fd))
            case Step.ATTACH:
                _attach(plan, seen, fd)
            case Step.ISOLATION | Step.MTU:
                _adjust(plan, fd)
            case Step.ROUTES:
                with netns.entered(fd):
                    _route(plan, link)
            case Step.TUNNELS:
                self._add_tunnels(plan, state, fd)

    def _filter(self, plan: PodPlan, link: ClusterLink, state: PodState) -> None:
        if state.outlet is not None:
            self._outlets.assign(state.outlet, outlet.alias(link.address, plan.bypass))

    def _add_tunnels(self, plan: PodPlan, state: PodState, fd: int) -> None:
        network = plan.network
        for name in plan.tunnels:
            if name not in state.tunnels:
                self._links.add(name, vpn=network.vpn, netns=fd, mtu=network.mtu)


def _attach(plan: PodPlan, seen: sandbox.Sandbox, fd: int) -> None:
    owner = guard.Owner(plan.role, plan.address)
    # An ended pod's link may outlive it in the kernel, with this MAC address.
    ports.remove(plan.network.bridge, {owner})
    ports.assign(cni.add_bridge(_attachment(plan, seen, fd)), owner)


def _route(plan: PodPlan, link: ClusterLink) -> None:
    # Ours first: they may replace the way out, and the way out holds the next hop until then.
    routes.apply(lock.routes(plan, link), lock.rules(link), owner=routing.Owner.NODE_AGENT)
    other_routes, other_rules = routes.others(*podnet.owners(plan.role))
    if unwanted := ways_out.routes(other_routes, plan.direct):
        routes.remove(unwanted)
    if unwanted_rules := ways_out.rules(other_rules):
        routes.remove_rules(unwanted_rules)


def _adjust(plan: PodPlan, fd: int) -> None:
    """Change what can be changed of a living pod's link."""
    network, owner = plan.network, guard.Owner(plan.role, plan.address)
    ports.isolate(network.bridge, owner, isolated=plan.isolated)
    ports.resize(network.bridge, owner, network.mtu)
    with netns.entered(fd):
        podnet.resize(network.mtu)


def _attachment(plan: PodPlan, seen: sandbox.Sandbox, fd: int) -> cni.Attachment:
    return cni.Attachment(
        container_id=seen.uid,
        netns=fd,
        link=names.POD_LINK,
        bridge=plan.network.bridge,
        address=plan.network.interface(plan.address),
        mac=plan.mac,
        mtu=plan.network.mtu,
        isolated=plan.isolated,
    )
