"""An app that tries to leak at every moment of its life, and what it tells."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping

from fakepia import world
from harness import nodes, probes, programs, waiting

_ATTEMPTS = (
    pathlib.Path(__file__).parents[2] / "operator/tests/component/way_out_attempts.py"
).read_text()
RESOLVER = "10.96.0.10"
PORT = 8099
_ENOUGH = 20
_SERVERS = {str(server.address) for server in world.SERVERS}


def command() -> list[str]:
    """Return the app's command: for the product's own image, which has Python."""
    lan = nodes.lan_host(nodes.names()[0])
    arguments = [probes.WHO_AM_I, lan, RESOLVER, _ATTEMPTS]
    return ["python3", "-c", programs.text("leaky"), *arguments]


def one_round() -> list[str]:
    """Return a command that makes every attempt once and prints what came of each."""
    return ["python3", "-c", _ATTEMPTS, probes.WHO_AM_I, RESOLVER]


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What the app saw since it began."""

    answers: Mapping[str, int]
    """Answers of the Internet, by the address that it saw."""
    sent: int
    """Datagrams past the tunnel that nothing in the pod refused."""
    anew: int
    """Answers to flows that were begun for one question."""
    received: int
    """Bytes, by TCP."""
    broken: int
    """TCP connections that broke."""
    rounds: int
    """Times that every attempt was made."""


@dataclasses.dataclass(frozen=True, slots=True)
class Leaky:
    """The app in a running pod. It is asked from its node, so also with the API server down."""

    node: str
    address: str

    @classmethod
    def in_pod(cls, pod: probes.Pod) -> Leaky:
        """Return the app in a pod that runs."""
        found = pod.get()
        return cls(found["spec"]["nodeName"], found["status"]["podIP"])

    def told(self) -> Told:
        """Ask what it saw.

        Raises:
            AssertionError: it does not answer.
        """
        url = f"http://{self.address}:{PORT}/"
        answer = nodes.run(self.node, "curl", "--silent", "--max-time", "5", url)
        assert answer, f"{url} says nothing"
        told = json.loads(answer)
        fields = ("sent", "anew", "received", "broken", "rounds")
        counted = {name: told["counts"].get(name, 0) for name in fields}
        return Told(answers=told["answers"], **counted)

    def wait_for_rounds(self, count: int = 1) -> None:
        """Wait until every attempt was made so many times more."""
        before = self._first_told().rounds
        waiting.eventually(
            lambda: self.told().rounds >= before + count, "every attempt is made once more"
        )

    def wait_for_answers(self) -> None:
        """Wait until its transfers go on: datagrams of old and new flows, and bytes by TCP.

        Raises:
            AssertionError: they do not, or the Internet saw another address than a server's.
        """
        before = self._first_told()

        def flows() -> bool:
            now = self.told()
            more = sum(now.answers.values()) - sum(before.answers.values())
            assert more >= _ENOUGH, (before, now)
            assert now.anew >= before.anew + _ENOUGH, (before, now)
            assert now.received > before.received, (before, now)
            return True

        waiting.eventually(flows, "the app's traffic flows", timeout=120)
        assert set(self.told().answers) <= _SERVERS, self.told().answers

    def _first_told(self) -> Told:
        """Ask an app that may have been started just now, and does not listen yet."""
        return waiting.eventually(self.told, "the app tells what it saw")
