"""The cluster's nodes, which are containers, and what is in their network namespace."""

from __future__ import annotations

import json
import subprocess

from harness import kubectl


def run(node: str, *command: str) -> str:
    """Run a command on a node and return its standard output."""
    return _docker("exec", node, *command)


def start(node: str, *command: str) -> None:
    """Start a command on a node and do not wait for its end."""
    _docker("exec", "--detach", node, *command)


def run_in_namespace_of(node: str, uid: str, *command: str) -> str:
    """Run a command of the node in the network namespace of the pod: its image may lack it."""
    return run(node, "nsenter", f"--net={namespace_of(node, uid)}", *command)


def namespace_of(node: str, uid: str) -> str:
    """Return the path of the pod's network namespace, for who sees the node's processes."""
    script = (
        f"for pid in $(grep -l -e 'pod{uid}' -e 'pod{uid.replace('-', '_')}' /proc/[0-9]*/cgroup"
        " 2>/dev/null | cut -d/ -f3); do"
        " [ $(readlink /proc/$pid/ns/net) = $(readlink /proc/1/ns/net) ] && continue;"
        " echo /proc/$pid/ns/net; exit; done; exit 1"
    )
    return run(node, "sh", "-c", script).strip()


def kill_process_of(node: str, uid: str, command: str) -> None:
    """Kill the process of a pod that runs our program's command: it has no time to clean up."""
    script = (
        f"for file in $(grep -l -e 'pod{uid}' -e 'pod{uid.replace('-', '_')}' /proc/[0-9]*/cgroup"
        " 2>/dev/null); do pid=$(echo $file | cut -d/ -f3);"
        f" tr '\\0' ' ' </proc/$pid/cmdline | grep -q 'piavpn {command}' && exec kill -KILL $pid;"
        " done; exit 1"
    )
    run(node, "sh", "-c", script)


def answer_arp_for_everyone(node: str) -> None:
    """Have the node answer ARP for everyone on its pods' links, as Calico and Cilium do.

    Without it a socket bound to eth0 reaches nobody on this CNI, lock or not, and a leak test
    would prove nothing.
    """
    run(node, "sh", "-c", "for f in /proc/sys/net/ipv4/conf/veth*/proxy_arp; do echo 1 > $f; done")


def answer_arp_from_now_on(answer: str = "1") -> str:
    """Return the shell command for the same on links that come later; "0" ends it."""
    return f"echo {answer} >/proc/sys/net/ipv4/conf/default/proxy_arp"


def kill(node: str, uid: str, command: str, *, signal: str = "KILL") -> None:
    """Send a pod's processes whose command line has this text a signal.

    Raises:
        AssertionError: there is none.
    """
    script = (
        f"found=; for pid in $(grep -l -e 'pod{uid}' -e 'pod{uid.replace('-', '_')}'"
        " /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3); do"
        " tr '\\0' ' ' </proc/$pid/cmdline | grep -q -e \"$1\" || continue;"
        f' kill -{signal} $pid && found=1; done; [ "$found" ]'
    )
    run(node, "bash", "-c", script, "bash", command)


def runs(node: str, uid: str) -> bool:
    """Tell whether a process of the pod is on the node, whatever the API has."""
    pattern = f"pod{uid}|pod{uid.replace('-', '_')}"
    script = f"grep -lE '{pattern}' /proc/[0-9]*/cgroup 2>/dev/null || true"
    return bool(run(node, "sh", "-c", script).strip())


def restart(node: str) -> None:
    """Restart a node, without a moment for its pods to end well."""
    _docker("restart", "--time", "0", node)


def lan_host(node: str) -> str:
    """Return the address of a host that is beside the nodes and none of them."""
    template = "{{.NetworkSettings.Networks.kind.Gateway}}"
    return _docker("inspect", "--format", template, node).strip()


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
