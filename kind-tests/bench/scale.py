"""How cost grows with apps and gateways, and what idling costs, and coming and going."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bench import costs, parts
from fakepia import client
from harness import kubectl, manifests, nodes, waiting

_NAME = "bench-scale"
_IDLE_SECONDS, _SETTLE_SECONDS = 30.0, 10.0
_RESYNCS = 5
_GATEWAYS_OF_AN_ACCOUNT = 2
_FALLBACKS = ["nl_amsterdam", "de-frankfurt", "us_chicago", "panama"]
_MOST_SECONDS = 400.0
_CHURNED_APPS = 5
_IMAGE = "docker.io/library/busybox:1.37"
_IDLE = ["sh", "-c", "trap 'exit 0' TERM; sleep 86400 & wait"]

Keep = Callable[[costs.Step], None]
"""Takes what was measured as soon as it was: a later step may fail."""


def apps(counts: Sequence[int], keep: Keep) -> None:
    """Make more and more apps behind one gateway."""
    with _room(), _vpns([_NAME]):
        for already, count in itertools.pairwise([0, *sorted(counts)]):
            new = [_app(number, _NAME) for number in range(already, count)]
            keep(_step(new, total=count, vpns=[_NAME]))


def gateways(count: int) -> costs.Step:
    """Make many gateways, each with an app."""
    vpns = [f"{_NAME}-{number}" for number in range(count)]
    with _room(), _vpns(vpns):
        return _step([_app(number, vpn) for number, vpn in enumerate(vpns)], total=count, vpns=vpns)


def idle(seconds: float) -> costs.Idle:
    """Have a gateway and an app, and do nothing."""
    with _room(), _vpns([_NAME]):
        kubectl.apply(_app(0, _NAME))
        _wait_until_ready(1)
        time.sleep(_SETTLE_SECONDS)
        used = _used_in(seconds)
        return costs.Idle(used, {part: len(parts.pods_of(part)) for part in parts.PARTS})


def churn(seconds: float) -> costs.Churn:
    """Have some apps behind a gateway of which always the oldest goes and another one comes."""
    with _room(), _vpns([_NAME]):
        kubectl.apply(*(_app(number, _NAME) for number in range(_CHURNED_APPS)))
        _wait_until_ready(_CHURNED_APPS)
        time.sleep(_SETTLE_SECONDS)
        before, since = parts.read(), time.monotonic()
        for oldest in itertools.count():
            kubectl.delete(_app(oldest, _NAME))
            kubectl.apply(_app(oldest + _CHURNED_APPS, _NAME))
            _wait_until_ready(_CHURNED_APPS)
            if time.monotonic() - since > seconds:
                return costs.Churn(oldest + 1, before, _difference(before))
    raise AssertionError("unreachable")


def _step(new: Sequence[kubectl.Object], *, total: int, vpns: Sequence[str]) -> costs.Step:
    before, since = parts.read(), time.monotonic()
    kubectl.apply(*new)
    _wait_until_ready(total)
    seconds = time.monotonic() - since
    made = _difference(before)
    _say(f"{total} apps behind {len(vpns)} gateways: ready after {seconds:.1f} s")
    time.sleep(_SETTLE_SECONDS)
    still = _used_in(_IDLE_SECONDS)
    rules = parts.most_rules()
    step = costs.Step(
        apps=total,
        new_apps=len(new),
        gateways=len(vpns),
        seconds=seconds,
        made=made,
        idle=still,
        resync=_resync(vpns[0]),
        rules=rules.rules,
        elements=rules.elements,
    )
    _say(costs.table([step]))
    return step


def _used_in(seconds: float) -> dict[str, costs.Reading]:
    before = parts.read()
    time.sleep(seconds)
    return _difference(before)


def _difference(before: Mapping[str, costs.Reading]) -> dict[str, costs.Reading]:
    return {part: reading.since(before[part]) for part, reading in parts.read().items()}


def _resync(vpn: str) -> costs.Reading:
    """Have the operator look at a PiaVpn some times of which nothing has changed."""
    before = parts.read()["operator"]
    for number in range(_RESYNCS):
        kubectl.run("label", "piavpn", vpn, f"bench={number}", "--overwrite")
        time.sleep(1)  # two changes at once would be one pass
    return parts.read()["operator"].since(before)


def _wait_until_ready(count: int) -> None:
    def ready() -> bool:
        found = kubectl.items("vpnservicecontainers", "-n", _NAME)
        return sum(map(_is_ready, found)) == count

    waiting.eventually(ready, f"{count} apps are Ready", timeout=_MOST_SECONDS)


def _is_ready(app: kubectl.Object) -> bool:
    conditions = app.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _app(number: int, vpn: str) -> kubectl.Object:
    spec: dict[str, Any] = {"image": _IMAGE, "command": _IDLE}
    return manifests.app(f"app-{number}", _NAME, vpn, **spec)


@contextlib.contextmanager
def _room() -> Iterator[None]:
    kubectl.apply(manifests.namespace(_NAME))
    try:
        yield
    finally:
        # Apps first: the namespace's end would take their objects one by one.
        kubectl.run("delete", "vpnservicecontainers", "--all", "-n", _NAME, timeout=300)
        kubectl.run("delete", "namespace", _NAME, "--timeout=300s", timeout=330)


@contextlib.contextmanager
def _vpns(names: Sequence[str]) -> Iterator[None]:
    """Make PiaVpns, two of an account: the stand-in has seven servers."""
    secrets, vpns = [], []
    pia = client.Client.at(nodes.address_of(f"{os.environ['PIAVPN_CLUSTER']}-fakepia"))
    for number, name in enumerate(names):
        account = f"{_NAME}-{number // _GATEWAYS_OF_AN_ACCOUNT}"
        if number % _GATEWAYS_OF_AN_ACCOUNT == 0:
            username = f"p{7_000_000 + number}"
            pia.accept_credentials(username, manifests.PASSWORD)
            secrets.append(manifests.credentials(account, username=username))
        vpns.append(
            manifests.pia_vpn(name, secret=account, location="swiss", fallbackLocations=_FALLBACKS)
        )
    try:
        kubectl.apply(*secrets, *vpns)
        for name in names:
            kubectl.wait_for("piavpn", name, "Ready", seconds=180)
        yield
    finally:
        kubectl.delete(*vpns, *secrets)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
