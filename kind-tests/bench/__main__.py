"""Measures, prints the tables, keeps them: `python -m bench FOLDER [PART [NUMBER...]]`.

By kind-tests/bench/run. Without a part all of them; else that one, and `apps`, `gateways`, `idle`
and `churn` take numbers. A bar that is missed is reported, and no failure. It is one if something
could not be measured, or leaked meanwhile.
"""

from __future__ import annotations

import functools
import os
import pathlib
import signal
import sys
from collections.abc import Sequence
from typing import Any

from bench import (
    appstart,
    leakage,
    logins,
    machine,
    memory,
    outages,
    port,
    portkept,
    readiness,
    renewal,
    report,
    rivals,
    scale,
    throughput,
)
from bench.report import Part, Where
from bench.running import Run
from fakepia import client
from harness import nodes, probes

_GRACE = "30s"
"""Longer than an app talks; the next renewal waits for its end."""
_FALLBACKS = ["nl_amsterdam", "de-frankfurt", "us_chicago", "panama"]

_BESIDE_RIVALS = ("start", "throughput")
_OF_A_TUNNEL = (*_BESIDE_RIVALS, "renewal", "port", "server", "memory", "gateway", "move")
_NUMBERS = {"apps": (1, 10, 50, 100), "gateways": (10,), "idle": (120,), "churn": (60,)}
_ALL = ("ready", "logins", "kept", *_OF_A_TUNNEL, *_NUMBERS)


def main() -> int:
    """Run and give the exit status."""
    folder, *asked = sys.argv[1:]
    name, numbers = (asked[0], [int(each) for each in asked[1:]]) if asked else ("results", [])
    if asked and name not in _ALL:
        _say(f"error: {name} is no part; the parts are {', '.join(_ALL)}")
        return 2
    # What was made is removed, then, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parts = [Part(each, is_data_path=each == "throughput") for each in ([name] if asked else _ALL)]
    pia = client.Client.at(nodes.address_of(f"{os.environ['PIAVPN_CLUSTER']}-fakepia"))
    _say("leak detector: positive control")
    marker = leakage.begin(pia)
    where = Where(str(machine.describe(nodes.names()[0])), os.environ["PIAVPN_IMAGE"])
    stem = pathlib.Path(folder, name)
    run = Run(parts, stem, where, functools.partial(leakage.packets, pia, marker))
    _measure(run, pia, numbers)
    made = run.write()
    print(report.markdown(made))
    _say(f"these tables, and all samples: {stem}.md, {stem}.json")
    for leak in pia.leaks(marker).leaks if made.leaked_packets else ():
        _say(f"error: leaked: {leak}")
    return _judge(made)


def _judge(made: report.Report) -> int:
    failed = [part.name for part in made.parts if not part.done]
    if failed:
        _say(f"error: not measured: {', '.join(failed)}")
    if made.leaked_packets is None:
        _say("error: the leak detector does not answer")
    return 0 if made.complete else 1


def _measure(run: Run, pia: client.Client, numbers: Sequence[int]) -> None:
    run.measurements("ready", lambda: [readiness.measure()])
    run.measurements("logins", lambda: [logins.measure(pia, _FALLBACKS)])
    run.measurements("kept", lambda: portkept.measure(pia))
    with run.shared(_OF_A_TUNNEL) as wanted:
        if wanted:
            _measure_a_tunnel(run, pia)
    _measure_scale(run, numbers)


def _measure_a_tunnel(run: Run, pia: client.Client) -> None:
    spec: dict[str, Any] = {"fallbackLocations": _FALLBACKS, "renewal": {"gracePeriod": _GRACE}}
    with probes.tunnel("bench", location="swiss", **spec) as tunnel:
        with run.shared(_BESIDE_RIVALS) as wanted:
            if wanted:
                with rivals.beside(tunnel, pia) as others:
                    run.measurements("start", lambda: appstart.measure(tunnel, others))
                    run.measurements("throughput", lambda: throughput.measure(tunnel, others, pia))
        run.measurements("renewal", lambda: renewal.measure(tunnel))
        run.measurements("port", lambda: port.measure(tunnel, pia))
        run.measurements("server", lambda: [outages.dead_server(tunnel, pia)])
        # Before the gateway is a new one, which has had nothing to remember.
        run.measurements("memory", lambda: memory.measure(tunnel))
        run.measurements("gateway", lambda: outages.lost_gateway(tunnel))
        run.measurements("move", lambda: outages.moved_gateway(tunnel))


def _measure_scale(run: Run, numbers: Sequence[int]) -> None:
    def numbers_of(name: str) -> Sequence[int]:
        return numbers or _NUMBERS[name]

    def gateways(part: Part) -> None:
        for count in numbers_of("gateways"):
            part.steps.append(scale.gateways(count))

    def idle(part: Part) -> None:
        part.idle = scale.idle(numbers_of("idle")[0])

    def churn(part: Part) -> None:
        part.churn = scale.churn(numbers_of("churn")[0])

    run.part("apps", lambda part: scale.apps(numbers_of("apps"), part.steps.append))
    run.part("gateways", gateways)
    run.part("idle", idle)
    run.part("churn", churn)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
