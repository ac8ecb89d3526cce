"""What a client is told, and whether it listens there."""

from __future__ import annotations

import dataclasses
import pathlib

LINK = "vpn0"
"""The link that leads into the tunnel: a client that binds to no link announces on others, too."""
_LISTENS = "0A"
"""State of a listening socket in proc_net_tcp(5)."""


@dataclasses.dataclass(frozen=True, slots=True)
class News:
    """The port that the client is to listen on and announce, and its address in the tunnel."""

    port: int
    address: str


def listens(port: int, network: pathlib.Path = pathlib.Path("/proc/net")) -> bool:
    """Tell whether any program of the pod listens on this TCP port."""
    sockets = [
        line.split()
        for name in ("tcp", "tcp6")
        if (network / name).exists()
        for line in (network / name).read_text().splitlines()[1:]
    ]
    return any(
        fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port
        for fields in sockets
    )
