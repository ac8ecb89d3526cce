"""The node's proxy by which a gateway reaches PIA's servers before it has a tunnel."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
from collections.abc import Iterable, Iterator

import namespaces
from namespaces import Namespace

from fakepia import world

_ALLOWED, _CONFIGURATION = "filter", "tinyproxy.conf"
_PID, _LOG = "tinyproxy.pid", "tinyproxy.log"


@contextlib.contextmanager
def running(node: Namespace, folder: pathlib.Path, host: str, gateway: str) -> Iterator[None]:
    """Run it in the node; it lets the gateway through to every server of the stand-in."""
    _allow(folder, [str(s.address) for region in world.REGIONS for s in region.servers])
    (folder / _CONFIGURATION).write_text(
        f"Listen {host}\nPort 8888\nAllow {gateway}\nConnectPort {world.API_PORT}\n"
        f'Filter "{folder}/{_ALLOWED}"\nFilterDefaultDeny Yes\nFilterType ere\nFilterURLs On\n'
        f'PidFile "{folder}/{_PID}"\nLogFile "{folder}/{_LOG}"\nLogLevel Notice\n'
    )
    with node.process(namespaces.tool("tinyproxy"), "-d", "-c", str(folder / _CONFIGURATION)):
        namespaces.eventually((folder / _PID).exists, what="the bootstrap proxy")
        yield


def let_through(folder: pathlib.Path, *addresses: str) -> None:
    """Have the node agent change whom it lets through to."""
    _allow(folder, addresses)
    os.kill(int((folder / _PID).read_text()), signal.SIGUSR1)


def has_refused(folder: pathlib.Path, address: str) -> bool:
    """Tell whether it has refused to let the gateway through to this address."""
    lines = (folder / _LOG).read_text().splitlines()
    return any("refused" in line and address in line for line in lines)


def _allow(folder: pathlib.Path, addresses: Iterable[str]) -> None:
    lines = {f"^{address.replace('.', '[.]')}:{world.API_PORT}$" for address in addresses}
    (folder / _ALLOWED).write_text("\n".join(sorted(lines)) + "\n")
