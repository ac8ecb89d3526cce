"""Runs the stand-in until it is told to end (SIGTERM, SIGINT)."""

import argparse
import datetime as dt
import logging
import signal
import sys
import threading
from pathlib import Path

from fakepia import control, identity, namespaces, stage, web, wireguard, world

_log = logging.getLogger("fakepia")


def main() -> int:
    """Run and give the exit status."""
    arguments = _parser().parse_args()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        if namespaces.is_somebody_elses():
            _log.error(
                "this network namespace has a default route, so it is in use, and would become a"
                " router of the stand-in: start it in one of its own (README.md tells how)"
            )
            return 2
        _run(arguments.uplink, arguments.data)
    except (namespaces.CommandError, identity.DamagedError, OSError, ValueError) as error:
        _log.error("%s", error)
        return 1
    return 0


def _run(uplink: str, data: Path | None) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    namespaces.hide_directory(wireguard.SOCKETS)
    keys = identity.load_or_create(data, dt.datetime.now(dt.UTC))
    staged = stage.Stage(keys, uplink)
    listener = namespaces.current("control").listen("0.0.0.0", world.CONTROL_PORT)
    web.serve(listener, control.Control(staged))
    _log.info("ready; control on port %d", world.CONTROL_PORT)
    stop.wait()
    staged.close()
    _log.info("ended")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fakepia",
        description="A stand-in for Private Internet Access. Makes the network namespace that it"
        " is started in the router of an Internet of its own, 198.18.0.0/15; clients need a route"
        " to it by this namespace. Needs root, nft, ip, wg and WireGuard in the kernel or"
        " wireguard-go.",
    )
    parser.add_argument(
        "--uplink", default="eth0", help="link that leads to the clients (default: eth0)"
    )
    parser.add_argument(
        "--data", type=Path, help="folder that keeps keys and CAs (default: new ones each time)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
