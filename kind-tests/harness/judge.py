"""Whether anything left the cluster by another way than a tunnel: two judges, one verdict."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from fakepia import client
from harness import capture, nodes, probes, waiting

_SHOWN = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Judge:
    """The captures on the nodes' uplinks, and the stand-in's Internet, which counts who comes."""

    uplinks: capture.Uplinks
    pia: client.Client

    @contextlib.contextmanager
    def nothing_leaves(self, ordinary: probes.Pod) -> Iterator[None]:
        """Judge the time of a block.

        Args:
            ordinary: a pod that is not confined, on the app's node: the control. What it sends is
                seen by both judges first.

        Raises:
            AssertionError: something left.
        """
        nodes.answer_arp_for_everyone(ordinary.node)
        self._see(ordinary)
        marker, counted = self.uplinks.mark(), self.pia.mark_leaks()
        yield
        left = self.uplinks.since(marker)
        assert left == [], f"{len(left)} packets left: {left[:_SHOWN]}"
        reached = self.pia.leaks(counted)
        assert reached.packets == 0, reached.leaks[:_SHOWN]

    def _see(self, ordinary: probes.Pod) -> None:
        marker, counted = self.uplinks.mark(), self.pia.mark_leaks()
        answers = ordinary.udp(device="eth0"), ordinary.tcp(device="eth0")
        seen = self.uplinks.since(marker)
        told = f"{ordinary.node} was answered {answers}; captured: {seen}"
        assert not any(answer.startswith("failed") for answer in answers), told
        assert any(f"{probes.WHO_AM_I}.9: UDP" in line for line in seen), told
        assert any(f"{probes.WHO_AM_I}.80: Flags [S]" in line for line in seen), told
        waiting.eventually(
            lambda: self.pia.leaks(counted).packets, "the stand-in sees an ordinary pod"
        )
