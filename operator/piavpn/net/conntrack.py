"""Connection tracking by the `conntrack` program."""

from __future__ import annotations

from piavpn.net import programs

_NONE = "0 flow entries have been deleted"
"""What the program says, and fails with, where nothing matched."""


def forget_inbound(protocol: str, port: int) -> None:
    """Delete the tracked connections to `port` that are translated to another destination.

    Args:
        protocol: `tcp` or `udp`.
        port: the destination's, before translation.

    Raises:
        ProgramError: the kernel or the program refused.
    """
    try:
        programs.run(
            "conntrack", "--delete", "--proto", protocol, "--dst-nat", "--orig-port-dst", str(port)
        )
    except programs.ProgramError as error:
        if _NONE not in str(error):
            raise
