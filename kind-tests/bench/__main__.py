"""Measures, prints the table, keeps it as JSON: `python -m bench FILE`, by kind-tests/bench/run.

A bar that is missed is reported, and no failure. It is one if something could not be measured, or
leaked meanwhile.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import pathlib
import subprocess
import sys
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
    results,
    rivals,
    throughput,
)
from fakepia import client
from harness import nodes, probes

_GRACE = "30s"
"""Longer than an app talks; the next renewal waits for its end."""
_FALLBACKS = ["nl_amsterdam", "de-frankfurt", "us_chicago", "panama"]


def main() -> int:
    """Run and give the exit status."""
    file = pathlib.Path(sys.argv[1])
    try:
        pia = client.Client.at(nodes.address_of(f"{os.environ['PIAVPN_CLUSTER']}-fakepia"))
        return _run(pia, file)
    except (AssertionError, OSError, client.ControlError, subprocess.TimeoutExpired) as error:
        _say(f"error: this could not be measured: {error}")
        return 1


def _run(pia: client.Client, file: pathlib.Path) -> int:
    _say("leak detector: positive control")
    marker = leakage.begin(pia)
    measurements, where = _measure(pia)
    leaks = pia.leaks(marker)
    _write(file, measurements, where, leaks)
    tables = f"{results.table(measurements)}\n{results.side_by_side(measurements)}"
    print(f"{where}\n\n{tables}\npackets leaked meanwhile: {leaks.packets}")
    _say(f"all samples: {file}")
    for leak in leaks.leaks:
        _say(f"error: leaked: {leak}")
    return 1 if leaks.packets else 0


def _measure(pia: client.Client) -> tuple[list[results.Measurement], machine.Machine]:
    _say("custom resources applied → Ready")
    measurements = [readiness.measure()]
    _say("logins")
    measurements.append(logins.measure(pia, _FALLBACKS))
    _say("port kept")
    measurements.append(portkept.measure(pia))
    spec: dict[str, Any] = {"fallbackLocations": _FALLBACKS, "renewal": {"gracePeriod": _GRACE}}
    with probes.tunnel("bench", location="swiss", **spec) as tunnel:
        with rivals.beside(tunnel, pia) as others:
            _say("start of an app")
            measurements += appstart.measure(tunnel, others)
            _say("throughput")
            measurements += throughput.measure(tunnel, others, pia)
        _say("renewal")
        measurements += renewal.measure(tunnel)
        _say("port changed")
        measurements += port.measure(tunnel, pia)
        _say("server dead")
        measurements.append(outages.dead_server(tunnel, pia))
        # Before the gateway is a new one, which has had nothing to remember.
        _say("memory")
        memories = memory.measure(tunnel)
        _say("gateway's pod deleted")
        measurements.append(outages.deleted_gateway(tunnel))
        return [*measurements, *memories], machine.describe(tunnel.gateway.node)


def _write(
    file: pathlib.Path,
    measurements: list[results.Measurement],
    where: machine.Machine,
    leaks: client.Leaks,
) -> None:
    document = {
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "image": os.environ["PIAVPN_IMAGE"],
        "machine": dataclasses.asdict(where),
        "measurements": results.document(measurements),
        "leakedPackets": leaks.packets,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
