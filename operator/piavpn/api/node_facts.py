"""What a node agent knows of its node, told in an annotation of its Lease. Pure.

Facts alone, few and bounded: what they mean is told by those who read them.
"""

from __future__ import annotations

import dataclasses
import json
from enum import StrEnum

from piavpn.api import codec


class WireGuard(StrEnum):
    """How a node makes WireGuard links."""

    KERNEL = "kernel"
    USERSPACE = "userspace"
    NONE = "none"


@dataclasses.dataclass(frozen=True, slots=True)
class NodeFacts:
    """What decides which layers between apps and a leak are at work on a node."""

    kernel: str
    """Its release."""
    wireguard: WireGuard
    nftables: bool
    """Whether the kernel has nf_tables, for this agent."""
    cilium: bool
    """Whether Cilium is the CNI plugin: with BPF host routing packets go past netfilter."""
    bridged_by_iptables: bool
    """Whether br_netfilter shows iptables what stays within a bridge."""
    tested: int = 0
    """Apps' pods whose last leak test sent raw frames."""
    raw_frames_unseen: int = 0
    """Those of them whose frames the node's own filter did not see."""
    raw_frames_unknown: int = 0
    """Those of them whose cluster link has no end on the node, and so no filter."""


def to_annotation(facts: NodeFacts) -> str:
    """Return the annotation's value."""
    return json.dumps(codec.encode(facts), sort_keys=True)


def from_annotation(text: str | None) -> NodeFacts | None:
    """Read the annotation; None where it is not there, or an agent of another version's."""
    try:
        return codec.decode(NodeFacts, json.loads(text or ""))
    except (ValueError, TypeError, AttributeError):
        return None
