"""The cluster's nodes, which are containers, and what is in their network namespace."""

from __future__ import annotations

import json
import subprocess

from harness import kubectl


def run(node: str, *command: str) -> str:
    """Run a command on a node and return its standard output."""
    return _docker("exec", node, *command)


def address_of(container: str) -> str:
    """Return a container's address on the network that the nodes are in."""
    template = "{{.NetworkSettings.Networks.kind.IPAddress}}"
    return _docker("inspect", "--format", template, container).strip()


def names() -> list[str]:
    """Return the names of all nodes."""
    return [node["metadata"]["name"] for node in kubectl.items("nodes")]


def links(node: str) -> set[str]:
    """Return the names of a node's links, without the peers of its pods' links."""
    found = json.loads(run(node, "ip", "-json", "link"))
    return {link["ifname"] for link in found if link.get("link_netnsid") is None}


def rule_sets(node: str) -> set[str]:
    """Return the node's nft tables, as `family name`."""
    listed = json.loads(run(node, "nft", "--json", "list", "tables"))["nftables"]
    tables = (entry["table"] for entry in listed if "table" in entry)
    return {f"{table['family']} {table['name']}" for table in tables}


def processes(node: str) -> list[str]:
    """Return the command lines of a node's processes, those in its pods too."""
    return run(node, "ps", "-eo", "args=").splitlines()


def _docker(*arguments: str) -> str:
    done = subprocess.run(
        ("docker", *arguments), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout
