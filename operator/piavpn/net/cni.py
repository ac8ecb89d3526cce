"""Attach a network namespace to a bridge by the CNI plugins `bridge` and `static`.

The plugins and their configuration: https://www.cni.dev/plugins/current/main/bridge/ ; the calling
convention: https://www.cni.dev/docs/spec/ (version 1.0.0).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import pathlib
import subprocess
from typing import Any

DEFAULT_PATH = "/opt/piavpn/cni"
_NETWORK = "piavpn"
_TIMEOUT_SECONDS = 20.0


class CniError(Exception):
    """A plugin is missing or failed; the message is the plugin's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attachment:
    """A link between a namespace and a bridge of the calling thread's namespace."""

    container_id: str
    netns: int
    """Open descriptor of the namespace."""
    link: str
    """The link's name in that namespace."""
    bridge: str
    address: ipaddress.IPv4Interface
    mac: str
    mtu: int
    isolated: bool
    """Whether the bridge keeps the port from reaching other isolated ports."""


def add_bridge(attachment: Attachment) -> str:
    """Make the link and return the name of its end on the bridge.

    No route, gateway or masquerade comes with it.

    Raises:
        CniError: a plugin is missing or failed, as when the link is there already.
    """
    result = json.loads(_call("ADD", attachment))
    ends = [item["name"] for item in result["interfaces"] if not item.get("sandbox")]
    return str(next(name for name in ends if name != attachment.bridge))


def delete_bridge(attachment: Attachment) -> None:
    """Remove the link; one that is not there is fine.

    Raises:
        CniError: a plugin is missing or failed.
    """
    _call("DEL", attachment)


def config(attachment: Attachment) -> dict[str, Any]:
    """Return the plugin's configuration."""
    return {
        "cniVersion": "1.0.0",
        "name": _NETWORK,
        "type": "bridge",
        "bridge": attachment.bridge,
        "isGateway": False,
        "ipMasq": False,
        "mtu": attachment.mtu,
        "portIsolation": attachment.isolated,
        "args": {"cni": {"mac": attachment.mac}},
        "ipam": {"type": "static", "addresses": [{"address": str(attachment.address)}]},
    }


def _call(command: str, attachment: Attachment) -> str:
    directory = pathlib.Path(os.environ.get("CNI_PATH", DEFAULT_PATH))
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": attachment.container_id,
        "CNI_NETNS": f"/proc/{os.getpid()}/fd/{attachment.netns}",
        "CNI_IFNAME": attachment.link,
        "CNI_PATH": str(directory),
    }
    try:
        done = subprocess.run(
            [directory / "bridge"],
            input=json.dumps(config(attachment)),
            env=environment,
            timeout=_TIMEOUT_SECONDS,
            capture_output=True,
            text=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CniError(f"CNI plugin {directory / 'bridge'} cannot be run: {error}") from error
    if done.returncode:
        raise CniError(f"CNI plugin bridge: {_message(done.stdout) or done.stderr.strip()}")
    return done.stdout


def _message(stdout: str) -> str:
    """Return the message of a plugin's error object, which it prints to standard output."""
    try:
        error = json.loads(stdout)
        return f"{error['msg']} {error.get('details', '')}".strip()
    except (ValueError, KeyError, TypeError):
        return stdout.strip()
