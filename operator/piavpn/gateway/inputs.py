"""What the gateway is told, by files that the kubelet mounts and refreshes: read anew each time."""

from __future__ import annotations

import dataclasses
import ipaddress
import pathlib

from piavpn.api import gateway_config


class InputError(Exception):
    """A file is absent or cannot be used; the message tells what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Files:
    """Where the pod has what the gateway reads and keeps."""

    config: pathlib.Path = pathlib.Path("/etc/piavpn/gateway", gateway_config.KEY)
    token: pathlib.Path = pathlib.Path("/etc/piavpn/account/token")
    dedicated_ip: pathlib.Path = pathlib.Path("/etc/piavpn/account/dedicated-ip")
    """The token of a dedicated IP, where the tunnel ends at one."""
    port: pathlib.Path = pathlib.Path("/etc/piavpn/port/port.json")
    """The forwarded port that an earlier gateway of this VPN kept."""
    resolv_conf: pathlib.Path = pathlib.Path("/etc/resolv.conf")
    state: pathlib.Path = pathlib.Path("/run/piavpn")
    """A directory in memory that lives as long as the pod."""


def read_config(file: pathlib.Path) -> gateway_config.GatewayConfig:
    """Read what the operator tells this gateway.

    Raises:
        InputError: it is absent, or no such document.
    """
    try:
        return gateway_config.GatewayConfig.from_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"the gateway's configuration cannot be read ({error.strerror}); "
            "the operator makes its ConfigMap: see the operator's log"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"the gateway's configuration cannot be used: {error}; "
            "operator and gateway must be of the same version"
        ) from error


def read_token(file: pathlib.Path) -> str | None:
    """Return a token; None while there is none that can be read."""
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError):
        return None


def nameservers(resolv_conf: str) -> tuple[ipaddress.IPv4Address, ...]:
    """Return the IPv4 nameservers in the text of a resolv.conf(5): the cluster's own DNS."""
    words = [line.split() for line in resolv_conf.splitlines()]
    named = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
    return tuple(ipaddress.IPv4Address(address) for address in named if _is_ipv4(address))


def _is_ipv4(address: str) -> bool:
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return True
