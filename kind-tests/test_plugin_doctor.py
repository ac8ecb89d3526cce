"""`kubectl piavpn` doctor, capture and upgrade: what a user finds out, and does, with them."""

from __future__ import annotations

import ipaddress
import json
import os
import struct
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import agents, kubectl, manifests, nodes, plugin, probes, product, secrets, waiting

pytestmark = pytest.mark.owns_nodes  # for another tag of the image on them

VPN = "doctored"
ENFORCE = "pod-security.kubernetes.io/enforce"


@pytest.fixture(scope="module")
def other_image() -> Iterator[str]:
    """Give the image of this tree by another name, too."""
    image = os.environ["PIAVPN_IMAGE"]
    given, other = (f"docker.io/library/{name}" for name in (image, f"{image}-other"))
    for node in nodes.names():
        nodes.run(node, "ctr", "-n", "k8s.io", "images", "tag", "--force", given, other)
    yield f"{image}-other"
    for node in nodes.names():
        nodes.run(node, "ctr", "-n", "k8s.io", "images", "rm", other)


@pytest.fixture(scope="module")
def tunnel(other_image: str) -> Iterator[probes.Tunnel]:
    assert other_image  # which its pods will run in the end
    with probes.tunnel(VPN, location="swiss") as made:
        yield made


def findings(level: str, code: int) -> dict[str, str]:
    """Return what the doctor finds of this level, by check."""
    said = plugin.piavpn("doctor", VPN, "-o", "json")
    assert said.code == code, said
    return {each["check"]: each["said"] for each in said.json() if each["level"] == level}


def test_the_doctor_finds_nothing_that_fails_in_a_good_cluster(tunnel: probes.Tunnel) -> None:
    waiting.eventually(
        lambda: "drops raw frames of" in str(findings("ok", 0)),
        "the agent has told of a leak test",
    )
    said = plugin.piavpn("doctor", VPN)
    print(said.out)
    assert said.code == 0, said
    assert f"credentials of {VPN}" in said.out
    assert f"node agent of {tunnel.app.node}" in said.out
    assert said.out.splitlines()[-1].endswith(" 0 failed")


def test_the_doctor_names_a_missing_key_of_the_credentials_and_shows_none(
    tunnel: probes.Tunnel,
) -> None:
    name = f"test-{VPN}"
    without = '[{"op": "remove", "path": "/data/password"}]'
    kubectl.run("patch", "secret", name, "-n", manifests.SYSTEM, "--type=json", "-p", without)
    try:
        failed = findings("fail", 1)
    finally:
        kubectl.apply(manifests.credentials(name))
    assert failed[f"credentials of {VPN}"] == f"Secret {name} has no password"
    assert manifests.USERNAME not in str(failed)
    kubectl.wait_for("piavpn", VPN, "Accepted")
    kubectl.wait_for("piavpn", VPN, "Ready")
    assert tunnel.app.tcp() == tunnel.server_address


@pytest.mark.usefixtures("tunnel")
def test_the_doctor_names_a_pod_security_label_that_is_missing() -> None:
    kubectl.run("label", "namespace", manifests.SYSTEM, f"{ENFORCE}-")
    try:
        warned = findings("warn", 0)
    finally:
        kubectl.run("label", "namespace", manifests.SYSTEM, f"{ENFORCE}=privileged")
    assert f"no label {ENFORCE}" in warned[f"Pod Security of {manifests.SYSTEM}"]


def test_the_doctor_names_a_node_without_agent(tunnel: probes.Tunnel) -> None:
    node = tunnel.app.node
    with agents.away():
        failed = findings("fail", 1)
    assert failed[f"node agent of {node}"].startswith("there is none: ")
    kubectl.wait_for("vpnapp", "probe", "Ready", tunnel.app.namespace)


def test_a_capture_shows_an_app_s_packets_on_bridge_and_tunnel_and_encrypted_ones_outside(
    tunnel: probes.Tunnel, tmp_path: Path
) -> None:
    file = tmp_path / "report.tar.gz"
    stop = threading.Event()

    def talk() -> None:
        while not stop.is_set():
            tunnel.app.udp()

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        said = plugin.piavpn("capture", VPN, "--seconds", "8", "-f", str(file))
    finally:
        stop.set()
        talker.join()
    print(said.out)
    assert said.code == 0, said

    contents = unpacked(file)
    address = (kubectl.get("vpnapp", "probe", tunnel.app.namespace) or {})["status"]["address"]
    peer = tunnel.status()["session"]["peerAddress"]
    server = tunnel.server_address
    assert (address, probes.WHO_AM_I, 17) in packets(contents["bridge.pcap"])
    assert (peer, probes.WHO_AM_I, 17) in packets(contents["tunnel.pcap"])
    outside = packets(contents["uplink.pcap"])
    assert {protocol for _, _, protocol in outside} == {17}
    assert all(server in pair[:2] for pair in outside)
    everything = b"".join(contents.values())
    assert b"who am I?" not in everything
    for secret in [*secrets.known(tunnel), manifests.USERNAME]:
        assert secret.encode() not in everything
    assert b"<key>" in contents["vpn.json"]
    assert b"piavpn_tunnel_up" in contents["gateway-metrics.txt"]
    assert b"piavpn_confined_pods" in contents["node-metrics.txt"]
    assert b"chain" in contents["node-network.txt"]


def unpacked(file: Path) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    with tarfile.open(file) as archive:
        for member in archive.getmembers():
            read = archive.extractfile(member)
            assert read is not None
            contents[member.name.partition("/")[2]] = read.read()
    return contents


def packets(capture: bytes) -> set[tuple[str, str, int]]:
    """Return source, destination and protocol of the IPv4 packets of a capture."""
    (link_type,) = struct.unpack_from("<I", capture, 20)
    head = 14 if link_type == 1 else 0
    at, found = 24, set()
    while at < len(capture):
        (length,) = struct.unpack_from("<I", capture, at + 8)
        packet = capture[at + 16 + head : at + 16 + length]
        at += 16 + length
        if len(packet) >= 20 and packet[0] >> 4 == 4:
            source, target = (str(ipaddress.IPv4Address(packet[i : i + 4])) for i in (12, 16))
            found.add((source, target, packet[9]))
    return found


def test_an_upgrade_moves_app_and_gateway_one_after_the_other_and_nothing_before_it(
    tunnel: probes.Tunnel, other_image: str
) -> None:
    before = (tunnel.app.uid, tunnel.gateway.uid)
    assert plugin.piavpn("upgrade", "--vpn", VPN).out.startswith("nothing to do")
    run_operator(other_image, log_format="json")
    try:
        waiting.eventually(
            lambda: [each["pod"] for each in planned()] == [tunnel.app.name, tunnel.gateway.name],
            "both are told to be of the other image",
        )
        assert (tunnel.app.uid, tunnel.gateway.uid) == before

        said = plugin.piavpn("upgrade", "--vpn", VPN, seconds=400)

        print(said.out)
        assert said.code == 0, said
        assert [line.partition(" ")[0] for line in said.out.splitlines()] == [
            f"{tunnel.app.namespace}/{tunnel.app.name}",
            f"{manifests.SYSTEM}/{tunnel.gateway.name}",
        ]
        assert tunnel.app.get()["spec"]["initContainers"][0]["image"] == other_image
        assert tunnel.gateway.get()["spec"]["containers"][0]["image"] == other_image
        kubectl.wait_for("vpnapp", "probe", "Ready", tunnel.app.namespace)
        waiting.eventually(lambda: tunnel.app.tcp() == tunnel.server_address, "the app's answer")
        all_of_them_log_in_json(tunnel)
    finally:
        run_operator(os.environ["PIAVPN_IMAGE"], log_format="text")


def all_of_them_log_in_json(tunnel: probes.Tunnel) -> None:
    app = {"kind": "Pod", "name": tunnel.app.name}
    gate = said_in_json(tunnel.app.name, tunnel.app.namespace, "piavpn-gate")
    assert [line["object"] for line in gate] == [app] * len(gate)
    assert gate[-1]["msg"].startswith("ok: ")
    gateway = said_in_json(tunnel.gateway.name, manifests.SYSTEM, "gateway")
    up = [line for line in gateway if line["msg"].startswith("the tunnel to ")]
    assert up[0]["object"] == {"kind": "PiaVpn", "name": VPN}
    assert up[0]["duration_seconds"] > 0
    operator = said_in_json(product.OPERATOR, manifests.SYSTEM, "operator")
    vpn = {"kind": "PiaVpn", "name": VPN}
    ready = [
        line for line in operator if (line.get("object"), line.get("reason")) == (vpn, "Ready")
    ]
    assert {line["level"] for line in ready} == {"info"}


def said_in_json(pod: str, namespace: str, container: str) -> list[kubectl.Object]:
    """Return a container's lines; dnsmasq, in a gateway, has its own."""
    lines = kubectl.run("logs", "-n", namespace, pod, "-c", container).splitlines()
    assert any(line.startswith("{") for line in lines), lines
    return [json.loads(line) for line in lines if not line.startswith("dnsmasq")]


def planned() -> list[dict[str, str]]:
    found: list[dict[str, str]] = plugin.piavpn(
        "upgrade", "--vpn", VPN, "--dry-run", "-o", "json"
    ).json()
    return found


def run_operator(image: str, *, log_format: str) -> None:
    env = [{"name": "PIAVPN_LOG_FORMAT", "value": log_format}]
    container = {"name": "operator", "image": image, "env": env}
    patch = json.dumps({"spec": {"template": {"spec": {"containers": [container]}}}})
    kubectl.run("patch", product.OPERATOR, "-n", manifests.SYSTEM, "-p", patch)
    kubectl.run("rollout", "status", product.OPERATOR, "-n", manifests.SYSTEM, "--timeout=90s")
