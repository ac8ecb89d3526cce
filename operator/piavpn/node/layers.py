"""Which of the layers between apps and a leak are at work on this node, for whoever reads the log.

The lock, the gate and the watch are at work wherever a pod is attached. The node's own filters
depend on what else is on the node.
"""

from __future__ import annotations

import dataclasses

from pyroute2 import IPRoute

from piavpn.node import passage

_CILIUM_LINK = "cilium_host"


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What of the node decides it."""

    cilium: bool
    """Whether Cilium is the CNI plugin. With BPF host routing, whose state it alone knows, packets
    go from link to link without netfilter."""
    bridged_by_iptables: bool
    """Whether br_netfilter shows iptables what stays within a bridge."""


def look() -> Seen:
    """Return how the node is, in the calling thread's namespace.

    Raises:
        pyroute2.NetlinkError: the kernel refused to tell.
    """
    with IPRoute() as kernel:
        cilium = bool(kernel.link_lookup(ifname=_CILIUM_LINK))
    return Seen(cilium, passage.is_needed())


def in_words(seen: Seen) -> str:
    """Say which layers are at work."""
    outlets = (
        "the node's filter of apps' cluster links may be idle (Cilium; idle with BPF host routing)"
        if seen.cilium
        else "the node's filter of apps' cluster links is at work"
    )
    bridges = (
        "iptables sees traffic within bridges (br_netfilter): accepted where it would be dropped"
        if seen.bridged_by_iptables
        else "iptables does not see traffic within bridges"
    )
    return f"locks, gates, watch and bridge filters are at work; {outlets}; {bridges}"
