"""Bring one pod's namespace to what its plan says, and read it back."""

from __future__ import annotations

import dataclasses

from pyroute2 import NetlinkError

from piavpn.api import names
from piavpn.net import cni, netns, nft, routes, routing
from piavpn.node import canonical, decide, guard, links, lock, podnet, ports, reasons, sandbox
from piavpn.node.decide import Problem, Step
from piavpn.node.model import ClusterLink, PodPlan, Role


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """The pod is attached and locked: read back from the kernel, not assumed."""

    steps: tuple[Step, ...]
    """What had to be done for it; empty when all was right already."""


class Attacher:
    """Attaches pods from the calling thread's namespace, which is the node's."""

    def __init__(self, known: canonical.Canonical, wireguard: links.Links) -> None:
        self._canonical = known
        self._links = wireguard

    def bring(self, plan: PodPlan, seen: sandbox.Sandbox) -> Done | Problem:
        """Do what is left to do. Doing it again disturbs nothing."""
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

    def _bring(self, plan: PodPlan, seen: sandbox.Sandbox, fd: int) -> Done | Problem:
        parameters = lock.sysctls(plan.role)
        state = podnet.observe(fd, parameters)
        link = state.cluster_link
        if link is None:
            return Problem(
                reasons.WAITING_FOR_CLUSTER_NETWORK,
                f"the cluster's CNI plugin has given the pod no address and default route on"
                f" {names.CLUSTER_LINK} yet",
            )
        ruleset = lock.ruleset(plan, link)
        intact = self._canonical.listing(lock.TABLE, ruleset)
        todo = decide.steps(plan, link, state, intact)
        for step in todo:
            self._take(step, plan, link, seen, fd)
        if not todo:
            return Done(())
        left = decide.steps(plan, link, podnet.observe(fd, parameters), intact)
        if left:
            return Problem(
                reasons.NOT_INTACT, f"set, but not there when read back: {', '.join(left)}"
            )
        return Done(todo)

    def _take(
        self, step: Step, plan: PodPlan, link: ClusterLink, seen: sandbox.Sandbox, fd: int
    ) -> None:
        match step:
            case Step.LOCK:
                with netns.entered(fd):
                    nft.load(lock.ruleset(plan, link))
            case Step.SYSCTLS:
                with netns.entered(fd):
                    podnet.write_sysctls(lock.sysctls(plan.role))
            case Step.DETACH:
                cni.delete_bridge(_attachment(plan, seen, fd))
            case Step.ATTACH:
                port = cni.add_bridge(_attachment(plan, seen, fd))
                ports.assign(port, guard.Owner(plan.role, plan.address))
                ports.ensure_guard(self._canonical)
            case Step.ROUTES:
                with netns.entered(fd):
                    _route(plan, link)
            case Step.TUNNELS:
                self._add_tunnels(plan, fd)

    def _add_tunnels(self, plan: PodPlan, fd: int) -> None:
        present = podnet.observe(fd, ()).tunnels
        for name in plan.tunnels:
            if name not in present:
                network = plan.network
                self._links.add(name, vpn=network.vpn, netns=fd, mtu=network.mtu)


def _route(plan: PodPlan, link: ClusterLink) -> None:
    # Ours first: they may replace the way out, and the way out holds the next hop until then.
    routes.apply(lock.routes(plan, link), lock.rules(link), owner=routing.Owner.NODE_AGENT)
    routes.remove(decide.ways_out(routes.others(), plan.cluster))


def _attachment(plan: PodPlan, seen: sandbox.Sandbox, fd: int) -> cni.Attachment:
    return cni.Attachment(
        container_id=seen.uid,
        netns=fd,
        link=names.POD_LINK,
        bridge=plan.network.bridge,
        address=plan.network.interface(plan.address),
        mac=plan.mac,
        mtu=plan.network.mtu,
        isolated=plan.role is Role.SERVICE,
    )
