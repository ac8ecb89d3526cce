"""`kubectl piavpn capture`: packets at uplink, bridge and tunnel side by side, for a bug report.

Of packets the headers alone are kept, and of all texts no secrets: see pcap and redaction.
"""

from __future__ import annotations

import argparse
import io
import json
import pathlib
import subprocess
import tarfile
import time
from collections.abc import Iterable, Mapping
from concurrent import futures
from datetime import UTC, datetime

from piavpn import kube
from piavpn.api import names, piavpns
from piavpn.cli import cluster, commands, errors, execute, pcap, redaction
from piavpn.cli.execute import Container, Kubectl
from piavpn.cli.output import Output
from piavpn.kube import Cluster

HEADINGS = ("PLACE", "PACKETS", "WHAT")
_SNAP_LENGTH, _MOST_PACKETS = 96, 200_000
_LOG_LINES = 500
_GRACE_SECONDS = 20.0
_MOST_SERVERS = 16
_README = """\
Packets of PiaVpn {vpn}, captured by `kubectl piavpn capture` at {time}.

uplink.pcap   on the node: encrypted UDP from and to the VPN server
bridge.pcap   the gateway's link to the bridge: what apps send and get, before NAT
tunnel.pcap   the gateway's WireGuard link: what goes through the tunnel, after NAT
*.txt, *.json, *.log   how things stood afterwards

Packets have headers alone. Keys, tokens, passwords and account names were taken out of the texts.
It still tells to which addresses apps talk, and the names and addresses of the cluster's parts:
look through it before you publish it.
"""
_ON_NODE = ("nsenter", "--net=/proc/1/ns/net", "--")
"""In the agent's container: its program enters pods' networks by turns, and whoever is started
beside it finds himself where it just is."""
# On the node, the link by which the first server is reached.
_ON_UPLINK = """\
link=$(ip -o route get "$1" | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
shift
exec "$@" -i "$link" "udp and ($FILTER)"
"""
_NETWORK_OF_GATEWAY = """\
ip -details address; ip rule; ip route show table all; nft list ruleset
# wireguard-go's socket is the gateway's own user's.
wg show all || setpriv --reuid=65534 --regid=65534 --clear-groups wg show all
"""
_NETWORK_OF_NODE = """\
ip -details link; ip route
for table in "bridge piavpn_ports" "inet piavpn_host" "netdev piavpn_outlets" "inet piavpn_outlets"
do nft list table $table
done
"""
_METRICS_OF_GATEWAY = "curl -sS http://127.0.0.1:8080/metrics"
_METRICS_OF_NODE = 'curl -sS "http://$NODE_ADDRESS:${PIAVPN_METRICS_PORT:-9810}/metrics"'


def add_to(parsers: commands.Subparsers) -> None:
    """Add the command."""
    parser = commands.add(
        parsers,
        "capture",
        run,
        "capture packets at uplink, bridge and tunnel for a bug report: no payload, no secrets",
    )
    parser.add_argument("vpn", nargs="?", help="PiaVpn; may be left out where there is one alone")
    parser.add_argument("--seconds", type=int, default=30, help="how long; default: 30")
    parser.add_argument("-f", "--file", metavar="FILE", help="default: piavpn-NAME-TIME.tar.gz")


def run(api: Cluster, options: argparse.Namespace, out: Output) -> int:
    """Capture, and write the archive."""
    vpn = cluster.chosen_vpn(api, options.vpn)
    system = options.operator_namespace
    gateway, agent = _parts(api, vpn, system)
    kubectl = Kubectl.of(options)
    seconds = max(1, options.seconds)
    captured, troubles = _capture(kubectl, vpn, gateway, agent, seconds, out)
    if not captured:
        raise errors.CommandError(f"nothing was captured: {'; '.join(troubles.values())}")
    now = datetime.now(UTC)
    out.progress("gathering logs, conditions and counters")
    texts = _texts(api, kubectl, vpn, system, gateway, agent)
    texts["README.txt"] = _README.format(vpn=vpn.name, time=now.isoformat(timespec="seconds"))
    if troubles:
        texts["not-captured.txt"] = "".join(f"{name}: {why}\n" for name, why in troubles.items())
    file = pathlib.Path(options.file or f"piavpn-{vpn.name}-{now:%Y%m%dT%H%M%SZ}.tar.gz")
    _write(file, captured, texts, now)
    _show(file, captured, troubles, out)
    return errors.NOT_GOOD if troubles else errors.GOOD


def _parts(api: Cluster, vpn: piavpns.PiaVpn, system: str) -> tuple[Container, Container]:
    """Return the gateway, and the node agent beside it."""
    name = f"{names.gateway_name(vpn.name)}-0"
    gateway = api.get(kube.PODS, name, system)
    node = (gateway or {}).get("spec", {}).get("nodeName")
    if node is None:
        raise errors.CommandError(f"pod {name} is on no node: see kubectl piavpn doctor {vpn.name}")
    label = "app.kubernetes.io/name=piavpn-node-agent"
    for pod in api.list(kube.PODS, system, labels=label):
        if pod["spec"].get("nodeName") == node:
            agent = Container(system, pod["metadata"]["name"], "node-agent")
            return Container(system, name, "gateway"), agent
    raise errors.CommandError(f"there is no node agent on {node}: see kubectl piavpn doctor")


def _capture(  # noqa: PLR0913, PLR0917 - all that a capture is of
    kubectl: Kubectl,
    vpn: piavpns.PiaVpn,
    gateway: Container,
    agent: Container,
    seconds: int,
    out: Output,
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the captures, headers alone, and by place why there is none."""
    session = vpn.status.session
    link = session.link if session is not None else names.TUNNEL_LINKS[0]
    tcpdump = (
        "timeout", "--signal=INT", str(seconds),
        "tcpdump", "-n", "-p", "-U", "-Z", "root", "-w", "-",
        "-s", str(_SNAP_LENGTH), "-c", str(_MOST_PACKETS),
    )  # fmt: skip
    running = {
        "bridge": kubectl.start(gateway, *tcpdump, "-i", names.POD_LINK),
        "tunnel": kubectl.start(gateway, *tcpdump, "-i", link),
    }
    servers = _servers(vpn)
    if servers:
        hosts = " or ".join(f"host {server}" for server in servers)
        on_uplink = ("env", f"FILTER={hosts}", "sh", "-c", _ON_UPLINK, "sh", servers[0], *tcpdump)
        running["uplink"] = kubectl.start(agent, *_ON_NODE, *on_uplink)
    said = _collect(running, seconds, out)
    captured: dict[str, bytes] = {}
    troubles: dict[str, str] = {}
    for place, (packets, words) in said.items():
        try:
            captured[place] = pcap.headers_only(packets)
        except pcap.NoCaptureError:
            troubles[place] = execute.failure(words) or "tcpdump said nothing"
    return captured, troubles


def _servers(vpn: piavpns.PiaVpn) -> list[str]:
    session = vpn.status.session
    known = [session.server_address] if session is not None else vpn.status.candidate_servers
    return [str(address) for address in known[:_MOST_SERVERS]]


def _collect(
    running: Mapping[str, subprocess.Popen[bytes]], seconds: int, out: Output
) -> dict[str, tuple[bytes, bytes]]:
    """Return what the programs said on standard output and error, after their end."""
    deadline = time.monotonic() + seconds
    with futures.ThreadPoolExecutor(len(running)) as pool:
        reading = {name: pool.submit(process.communicate) for name, process in running.items()}
        try:
            while (left := deadline - time.monotonic()) > 0 and not _done(reading.values(), 1.0):
                out.progress(f"capturing for another {left:.0f} s")
            _done(reading.values(), _GRACE_SECONDS)
        finally:
            for process in running.values():
                process.kill()
        return {name: read.result() for name, read in reading.items()}


def _done(reading: Iterable[futures.Future[tuple[bytes, bytes]]], seconds: float) -> bool:
    return not futures.wait(reading, timeout=seconds).not_done


def _texts(  # noqa: PLR0913, PLR0917 - all that is asked
    api: Cluster,
    kubectl: Kubectl,
    vpn: piavpns.PiaVpn,
    system: str,
    gateway: Container,
    agent: Container,
) -> dict[str, str]:
    """Return how things stand, by file name."""
    apps = [
        app
        for app in api.list(kube.VPN_SERVICE_CONTAINERS)
        if app["spec"]["vpnRef"]["name"] == vpn.name
    ]
    pods = [
        *api.list(kube.PODS, labels=f"{names.LABEL_VPN}={vpn.name}"),
        *api.list(kube.PODS, system, labels=f"{names.LABEL_GATEWAY}={vpn.name}"),
    ]
    found = api.get(kube.PIA_VPNS, vpn.name) or {}
    texts = {
        "vpn.json": _json({"spec": found.get("spec"), "status": found.get("status")}),
        "apps.json": _json([redaction.without_specs(app) for app in apps]),
        "pods.json": _json([redaction.without_specs(pod) for pod in pods]),
        "gateway-network.txt": kubectl.read(gateway, "sh", "-c", _NETWORK_OF_GATEWAY),
        "node-network.txt": kubectl.read(agent, *_ON_NODE, "sh", "-c", _NETWORK_OF_NODE),
        "gateway-metrics.txt": kubectl.read(gateway, "sh", "-c", _METRICS_OF_GATEWAY),
        "node-metrics.txt": kubectl.read(agent, *_ON_NODE, "sh", "-c", _METRICS_OF_NODE),
        "gateway.log": kubectl.logs(gateway, _LOG_LINES),
        "node-agent.log": kubectl.logs(agent, _LOG_LINES),
    }
    return {name: redaction.redacted(text) for name, text in texts.items()}


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _write(
    file: pathlib.Path, captured: Mapping[str, bytes], texts: Mapping[str, str], now: datetime
) -> None:
    packets = {f"{place}.pcap": content for place, content in captured.items()}
    try:
        with tarfile.open(file, "w:gz") as archive:
            for name, content in {**packets, **{k: v.encode() for k, v in texts.items()}}.items():
                entry = tarfile.TarInfo(f"{file.name.removesuffix('.tar.gz')}/{name}")
                entry.size, entry.mtime, entry.mode = len(content), int(now.timestamp()), 0o600
                archive.addfile(entry, io.BytesIO(content))
    except OSError as error:
        raise errors.CommandError(f"{file} cannot be written: {error.strerror}") from error


def _show(
    file: pathlib.Path, captured: Mapping[str, bytes], troubles: Mapping[str, str], out: Output
) -> None:
    counts = {place: pcap.count(content) for place, content in captured.items()}
    if out.as_json:
        out.json({"file": str(file), "packets": counts, "notCaptured": dict(troubles)})
        return
    what = {
        "uplink": "encrypted, between node and VPN server",
        "bridge": "between apps and gateway",
        "tunnel": "between gateway and Internet",
    }
    rows = [(place, counts.get(place), troubles.get(place, text)) for place, text in what.items()]
    out.table(HEADINGS, rows)
    out.line(f"written to {file}: look through it before you publish it")
