"""`kubectl piavpn capture`: packets without payload, texts without secrets."""

from __future__ import annotations

import json
import struct
import sys
import tarfile
from pathlib import Path

import cli_world
import kube_server
import pytest
from cli_world import SYSTEM, Kubectl

from piavpn import kube
from piavpn.cli import pcap, redaction

api, kubectl = cli_world.api, cli_world.kubectl

KEY = "b3VyIHB1YmxpYyBrZXkgaGFzIDMyIGJ5dGVzIHRvby4="
TOKEN = "0123456789abcdef" * 8
SECRET = b"GET /secret"


def ip(protocol: int, inner: bytes) -> bytes:
    addresses = bytes([10, 100, 0, 10, 198, 18, 200, 1])
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(inner), 1, 0, 64, protocol, 0)
    return head + addresses + inner


TCP = struct.pack(">HHIIBBHHH", 40000, 80, 1, 2, 0x80, 0x18, 1024, 0, 0) + bytes(12)
UDP = struct.pack(">HHHH", 40000, 53, 19, 0)
ETHERNET = bytes(12) + b"\x08\x00"


def capture(link_type: int, *packets: bytes) -> bytes:
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 96, link_type)
    framed = (struct.pack("<IIII", 1, 2, len(each), len(each)) + each for each in packets)
    return head + b"".join(framed)


@pytest.mark.parametrize(
    ("link_type", "packet", "kept"),
    [
        (1, ETHERNET + ip(6, TCP + SECRET), 14 + 20 + 32),
        (1, ETHERNET + ip(17, UDP + SECRET), 14 + 20 + 8),
        (1, bytes(12) + b"\x81\x00\x00\x01\x08\x00" + ip(17, UDP + SECRET), 18 + 20 + 8),
        (1, bytes(12) + b"\x08\x06" + bytes(28), 42),
        (1, bytes(12) + b"\x86\xdd" + bytes(40) + SECRET, 42),
        (12, ip(6, TCP + SECRET), 20 + 32),
        (101, ip(1, bytes(8) + SECRET), 20 + 8),
        (12, ip(6, b"cut"), 20),
        (147, SECRET, 0),
    ],
)
def test_of_each_packet_the_headers_are_kept(link_type: int, packet: bytes, kept: int) -> None:
    cut = pcap.headers_only(capture(link_type, packet, packet))
    assert pcap.count(cut) == 2
    assert cut[24:] == (struct.pack("<IIII", 1, 2, kept, len(packet)) + packet[:kept]) * 2
    assert SECRET not in cut


def test_a_packet_that_was_written_in_part_is_left_out() -> None:
    whole = capture(12, ip(17, UDP + SECRET), ip(17, UDP + SECRET))
    assert pcap.count(pcap.headers_only(whole[:-5])) == 1


def test_what_is_no_capture_is_refused() -> None:
    with pytest.raises(pcap.NoCaptureError):
        pcap.headers_only(b"tcpdump: not found")


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        (f"peer: {KEY}\n  endpoint: 1.2.3.4", "peer: <key>\n  endpoint: 1.2.3.4"),
        (f'"publicKey": "{KEY}",', '"publicKey": "<key>",'),
        (f"token {TOKEN} x", "token <token> x"),
        ("login of p1234567 refused", "login of <account> refused"),
        ("-----BEGIN CERTIFICATE-----\\nMII\\n-----END CERTIFICATE-----\\n", "<pem>\\n"),
        ("password=correct horse", "password=<secret> horse"),
        ("DIP20261123abcdef", "<dedicated IP>"),
        ("inet 10.100.0.10 zurich401 web-0", "inet 10.100.0.10 zurich401 web-0"),
    ],
)
def test_secrets_are_taken_out_of_texts(text: str, instead: str) -> None:
    assert redaction.redacted(text) == instead


KUBECTL = """\
#!{python}
import sys
line = " ".join(sys.argv[1:])
open({log!r}, "a").write(line + "\\n")
if "tcpdump" in line:
    link = "piaw0" if "piaw0" in line else "vpn0" if "vpn0" in line else "eth0"
    sys.stdout.buffer.write(open({folder!r} + "/" + link, "rb").read())
else:
    print({words!r})
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a kubectl first in PATH that answers as pods would; return the file of its calls."""
    folder, log = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    (folder / "vpn0").write_bytes(capture(1, ETHERNET + ip(6, TCP + SECRET)))
    (folder / "piaw0").write_bytes(capture(12, ip(6, TCP + SECRET), ip(17, UDP + SECRET)))
    (folder / "eth0").write_bytes(capture(1, ETHERNET + ip(17, UDP + SECRET)))
    words = f"peer: {KEY}, token {TOKEN}, p1234567"
    text = KUBECTL.format(python=sys.executable, log=str(log), folder=str(folder), words=words)
    (folder / "kubectl").write_text(text)
    (folder / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return log


@pytest.fixture(autouse=True)
def _cluster(api: kube_server.Api) -> None:
    cli_world.put_vpn(api)
    cli_world.put_app(api)
    on_worker = {"nodeName": "worker", "containers": []}
    api.put(kube.PODS, "piavpn-gateway-home-0", SYSTEM, spec=on_worker)
    labels = {"app.kubernetes.io/name": "piavpn-node-agent"}
    api.put(kube.PODS, "piavpn-node-agent-x", SYSTEM, metadata={"labels": labels}, spec=on_worker)


def test_an_archive_has_three_captures_and_how_things_stand_and_no_secret(
    api: kube_server.Api, kubectl: Kubectl, calls: Path, tmp_path: Path
) -> None:
    value = {"name": "KEY", "value": "an app's own"}
    api.put(kube.VPN_SERVICE_CONTAINERS, "web", "media", spec={
        "vpnRef": {"name": "home"}, "image": "busybox", "env": [value],
    })  # fmt: skip
    file = tmp_path / "report.tar.gz"

    said = kubectl.piavpn("capture", "--seconds", "1", "-f", str(file))

    assert said.out == (
        "PLACE    PACKETS   WHAT\n"
        "uplink   1         encrypted, between node and VPN server\n"
        "bridge   1         between apps and gateway\n"
        "tunnel   2         between gateway and Internet\n"
        f"written to {file}: look through it before you publish it\n"
    )
    assert (said.code, said.err) == (0, "")
    contents = unpacked(file)
    assert set(contents) == {
        "README.txt", "apps.json", "bridge.pcap", "gateway-metrics.txt", "gateway-network.txt",
        "gateway.log", "node-agent.log", "node-metrics.txt", "node-network.txt", "pods.json",
        "tunnel.pcap", "uplink.pcap", "vpn.json",
    }  # fmt: skip
    assert contents["gateway.log"] == b"peer: <key>, token <token>, <account>\n"
    everything = b"".join(contents.values())
    for secret in (SECRET, KEY.encode(), TOKEN.encode(), b"p1234567", b"an app's own"):
        assert secret not in everything
    assert json.loads(contents["vpn.json"])["status"]["session"]["server"] == "zurich401"
    assert "FILTER=host 198.18.11.1" in calls.read_text()


def unpacked(file: Path) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    with tarfile.open(file) as archive:
        for member in archive.getmembers():
            read = archive.extractfile(member)
            assert read is not None
            contents[member.name.removeprefix("report/")] = read.read()
    return contents


def test_a_place_that_cannot_be_captured_is_told_and_the_others_are_kept(
    kubectl: Kubectl, calls: Path, tmp_path: Path
) -> None:
    (calls.parent / "bin/piaw0").write_bytes(b"")
    file = tmp_path / "report.tar.gz"
    said = kubectl.piavpn("capture", "home", "--seconds", "1", "-f", str(file), "-o", "json")
    told = json.loads(said.out)
    assert said.code == 1
    assert told["packets"] == {"bridge": 1, "uplink": 1}
    assert told["notCaptured"] == {"tunnel": "tcpdump said nothing"}
    assert unpacked(file)["not-captured.txt"] == b"tunnel: tcpdump said nothing\n"


def test_without_a_gateway_on_a_node_it_is_told_what_to_do(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    api.remove(kube.PODS, "piavpn-gateway-home-0", SYSTEM)
    said = kubectl.piavpn("capture", "home")
    assert said == cli_world.Said(
        2,
        "",
        "error: pod piavpn-gateway-home-0 is on no node: see kubectl piavpn doctor home\n",
    )
