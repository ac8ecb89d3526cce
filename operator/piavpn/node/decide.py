"""What is to be done in a pod's namespace, from its plan and what the kernel holds. Pure."""

from __future__ import annotations

import dataclasses
import enum

from piavpn.api import cidrs
from piavpn.net import routing
from piavpn.node import guard, lock, outlet, reasons, ways_out
from piavpn.node.model import BridgeLink, ClusterLink, PodPlan, PodState, Role


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Why a pod is not attached, for its condition."""

    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Verified:
    """What a pod had when it was last found, or made, as it must be."""

    plan: PodPlan
    link: ClusterLink
    lock: str
    """As nft lists it."""
    other_routes: frozenset[routing.Route] = frozenset()
    """Of others; none of them led out of the cluster."""


class Step(enum.StrEnum):
    """What can be done to a pod's namespace, in the order in which it is safe."""

    LOCK = "lock"
    SYSCTLS = "kernel parameters"
    OUTLET = "filter on the node's side"
    DETACH = "detach"
    ATTACH = "attach"
    ISOLATION = "port isolation"
    MTU = "MTU"
    ROUTES = "routes"
    TUNNELS = "WireGuard links"


def steps(plan: PodPlan, link: ClusterLink, state: PodState, intact_lock: str) -> tuple[Step, ...]:
    """Return what is left to do to a pod's namespace, in order; nothing means: attached and locked.

    Args:
        plan: what must be.
        link: the pod's link to the cluster.
        state: what is.
        intact_lock: how nft lists the lock that the pod must have.
    """
    todo = []
    if state.lock != intact_lock:
        todo.append(Step.LOCK)
    wanted = lock.sysctls(plan.role)
    if any(wanted[name] != value for name, value in state.sysctls.items()):
        todo.append(Step.SYSCTLS)
    if (
        state.outlet
        and plan.role is Role.SERVICE
        and state.outlet.alias != outlet.alias(link.address, plan.bypass)
    ):
        todo.append(Step.OUTLET)
    attached = _is_attached(plan, state.bridge_link)
    if not attached:
        todo += [Step.ATTACH] if state.bridge_link is None else [Step.DETACH, Step.ATTACH]
    elif state.bridge_link and state.bridge_link.isolated != plan.isolated:
        todo.append(Step.ISOLATION)
    if attached and state.bridge_link and state.bridge_link.mtu != plan.network.mtu:
        todo.append(Step.MTU)
    routes_right = state.routes == frozenset(lock.routes(plan, link))
    rules_right = state.rules == frozenset(lock.rules(link))
    out = ways_out.routes(state.other_routes, plan.direct), ways_out.rules(state.other_rules)
    # Routes over a link go with it.
    if not (attached and routes_right and rules_right) or any(out):
        todo.append(Step.ROUTES)
    if not state.tunnels.issuperset(plan.tunnels):
        todo.append(Step.TUNNELS)
    return tuple(todo)


def misplaced(plan: PodPlan, link: ClusterLink) -> Problem | None:
    """Return what is wrong with the pod's address in the cluster; None where nothing is.

    An app that were let start with too few networks would be reached by nobody, in silence.
    """
    if any(link.address in network for network in plan.cluster):
        return None
    known = ", ".join(map(str, plan.cluster))
    return Problem(
        reasons.CLUSTER_CIDRS_WRONG,
        f"the cluster's CNI plugin has given the pod {link.address}, which is in none of the"
        f" networks that are known as the cluster's ({known}): set {cidrs.VARIABLE} of the node"
        " agent's DaemonSet and the operator's Deployment to all pod and service CIDRs",
    )


def is_torn_down(verified: Verified, state: PodState) -> bool:
    """Tell whether all that befell a pod is that its link to the cluster is gone.

    Some container runtimes, as CRI-O, take a sandbox's network down before they end the sandbox.
    """
    direct = verified.plan.direct
    fresh = state.other_routes - verified.other_routes
    return (
        not state.has_cluster_link
        and state.lock == verified.lock
        and not ways_out.in_words(state.other_routes, state.other_rules, direct)
        and not ways_out.direct_in_words(fresh, direct)
    )


def unseen_damage(state: PodState) -> str:
    """Return what befell a service's pod while no agent watched it; empty where nothing did.

    That it was locked once, the alias of its link's end on the node says: the lock comes first.
    """
    end = state.outlet
    was_locked = end is not None and outlet.read(end.name, end.alias) is not None
    return "the lock went while no agent watched" if was_locked and state.lock is None else ""


def damage(verified: Verified, state: PodState) -> tuple[str, ...]:
    """Return what of a pod is not as it was when it was verified, in words; nothing means: intact.

    What must be may have changed since: that is no damage. Nor are kernel parameters, which open
    no way out, and what is on the node's side, which the pod cannot reach.
    """
    plan = verified.plan
    differs = steps(plan, verified.link, state, verified.lock)
    found = []
    if Step.LOCK in differs:
        found.append("the lock is gone" if state.lock is None else "the lock was changed")
    if Step.ATTACH in differs:
        gone = state.bridge_link is None
        found.append(f"the link to the bridge {'is gone' if gone else 'was changed'}")
    elif Step.ROUTES in differs:
        added = ways_out.in_words(state.other_routes, state.other_rules, plan.direct)
        found += added or ["routes or routing rules were changed"]
    else:
        fresh = state.other_routes - verified.other_routes
        found += ways_out.direct_in_words(fresh, plan.direct)
    return tuple(found)


def _is_attached(plan: PodPlan, link: BridgeLink | None) -> bool:
    """Tell whether the link is right; isolation and MTU can be changed under a living pod."""
    return link is not None and link == BridgeLink(
        address=plan.network.interface(plan.address),
        mac=plan.mac,
        bridge=plan.network.bridge,
        port_alias=guard.Owner(plan.role, plan.address).to_alias(),
        isolated=link.isolated,
        mtu=link.mtu,
        up=True,
    )
