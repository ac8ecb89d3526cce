"""`kubectl piavpn`, installed as a user does, tells of a tunnel, and asks what is wanted of it."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fakepia import client, world
from harness import kubectl, manifests, nodes, plugin, probes, waiting

pytestmark = pytest.mark.owns_nodes  # for the stand-in beside them

VPN, ROOM, SECRET = "plugged", "test-plugged", "test-plugged"
_SERVE = (
    "import http.server, signal; signal.signal(signal.SIGTERM, lambda *_: exit());"
    " http.server.test(http.server.SimpleHTTPRequestHandler, port=8080)"
)


@dataclasses.dataclass(frozen=True)
class Plugin:
    """The installed plugin."""

    folder: pathlib.Path

    def run(self, *arguments: str, code: int = 0) -> plugin.Said:
        """Run a command that ends so."""
        said = plugin.run_from(self.folder, *arguments)
        assert said.code == code, said
        return said


@pytest.fixture(scope="module")
def piavpn(tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    """Install the plugin in an environment of its own, with the one program in PATH, as pipx."""
    home = tmp_path_factory.mktemp("pipx")
    subprocess.run((sys.executable, "-m", "venv", home / "venv"), check=True)
    sources = pathlib.Path(__file__).parents[1]
    subprocess.run((home / "venv/bin/pip", "install", "-q", sources), check=True)
    (home / "bin").mkdir()
    (home / "bin/kubectl-piavpn").symlink_to(home / "venv/bin/kubectl-piavpn")
    return Plugin(home / "bin")


@pytest.fixture(scope="module")
def app(pia: client.Client) -> Iterator[probes.Pod]:
    """Give an app that listens at its forwarded port, behind a tunnel with two servers."""
    endpoints = manifests.endpoints() | {"portCheckURL": f"https://{world.FRONT}/port/{{port}}"}
    room, secret = manifests.namespace(ROOM), manifests.credentials(SECRET)
    vpn = manifests.pia_vpn(VPN, secret=SECRET, location="nl_amsterdam", endpoints=endpoints)
    web = manifests.app(
        "web",
        ROOM,
        VPN,
        command=["python3", "-c", _SERVE],
        receiveForwardedPort={"port": 8080, "protocol": "TCP"},
    )
    pia.reset()
    try:
        kubectl.apply(room, secret, vpn, web)
        kubectl.wait_for("piavpn", VPN, "Ready")
        kubectl.wait_for("vpnapp", "web", "Ready", ROOM)
        kubectl.wait_for("piavpn", VPN, "PortForwarded")
        kubectl.wait_for("vpnapp", "web", "PortPropagated", ROOM)
        kubectl.wait_for("vpnapp", "web", "LeakFree", ROOM)
        yield probes.Pod("web-0", ROOM)
    finally:
        kubectl.delete(web, vpn, secret, room)


def status() -> kubectl.Object:
    found: kubectl.Object = (kubectl.get("piavpn", VPN) or {})["status"]
    return found


def cells(text: str) -> dict[str, str]:
    """Return a table's only row by its headings."""
    headings, row = (re.split(r"\s{2,}", line.strip()) for line in text.splitlines()[:2])
    return dict(zip(headings, row, strict=True))


@pytest.mark.usefixtures("app")
def test_kubectl_shows_tunnel_and_app_at_a_glance() -> None:
    def filled() -> tuple[dict[str, str], dict[str, str]]:
        vpn = cells(kubectl.run("get", "piavpn", VPN))
        web = cells(kubectl.run("get", "vpnapp", "web", "-n", ROOM))
        assert web["PORT"] == vpn["PORT"], (vpn, web)
        return vpn, web

    vpn, web = waiting.eventually(filled, "the app has its port in its status")
    now = status()
    assert vpn | {"AGE": ""} == {
        "NAME": VPN,
        "READY": "True",
        "REGION": "nl_amsterdam",
        "SERVER": now["session"]["server"],
        "EXIT ADDRESS": now["exitAddress"],
        "PORT": str(now["forwardedPort"]["port"]),
        "SERVICES": "1",
        "AGE": "",
    }
    assert (web["READY"], web["CONFINED"], web["VPN"]) == ("True", "True", VPN)


def test_one_screen_shows_tunnel_gateway_and_app(piavpn: Plugin, app: probes.Pod) -> None:
    said = piavpn.run("status", VPN)
    print(said.out)
    tunnel, behind, _ = said.out.split("\n\n", 2)
    seen = cells(tunnel)
    assert (seen["READY"], seen["EXIT ADDRESS"]) == ("yes", app.tcp())
    assert re.fullmatch(r"\d+s ago", seen["HANDSHAKE"])
    assert (seen["GATEWAY"], seen["NODE"]) == ("Running", app.node)
    assert cells(behind)["LEAK-FREE"] == "yes"


@pytest.mark.usefixtures("app")
def test_regions_are_listed_with_what_they_can_do(piavpn: Plugin) -> None:
    said = piavpn.run("regions", VPN)
    print(said.out)
    rows = [re.split(r"\s{2,}", line) for line in said.out.splitlines()]
    by_name = {row[0]: dict(zip(rows[0], row, strict=False)) for row in rows[1:]}
    assert by_name["nl_amsterdam"]["PORT FORWARDING"] == "yes"
    assert by_name["nl_amsterdam"]["USE"] == "now, serverLocation"
    assert {row["PORT FORWARDING"] for row in by_name.values()} == {"yes", "no"}


def test_a_renewal_is_waited_for_and_shows_both_servers(piavpn: Plugin, app: probes.Pod) -> None:
    before = status()["session"]["server"]
    said = piavpn.run("renew", VPN, "--wait", "-o", "json").json()
    assert said["before"]["server"] == before
    assert said["now"]["server"] == status()["session"]["server"] != before
    assert said["now"]["exitAddress"] == app.tcp()


@pytest.mark.usefixtures("app")
def test_the_port_is_shown_and_tried_from_outside(piavpn: Plugin) -> None:
    kubectl.wait_for("piavpn", VPN, "PortForwarded")
    said = piavpn.run("port", VPN, "--check")
    print(said.out)
    lines = dict(re.split(r":\s+", line, maxsplit=1) for line in said.out.splitlines())
    assert lines["Port"] == f"{status()['forwardedPort']['port']} at {status()['exitAddress']}"
    assert lines["Receiver"] == f"{ROOM}/web"
    assert lines["Open"].startswith("yes: ")


def test_a_leak_test_is_made_now_and_answered(piavpn: Plugin, app: probes.Pod) -> None:
    said = piavpn.run("leaktest", f"{ROOM}/web")
    print(said.out)
    seen = cells(said.out)
    assert (seen["RESULT"], seen["NODE"]) == ("no leak", app.node)
    assert int(seen["ATTEMPTS"]) >= 16
    pod = app.get()
    (asked,) = (
        value
        for name, value in pod["metadata"]["annotations"].items()
        if name == "piavpn.dev/leak-test-requested-at"
    )
    told = next(
        item for item in pod["status"]["conditions"] if item["type"] == "piavpn.dev/LeakFree"
    )
    assert told["message"].endswith(f"; asked for at {asked}")


def test_the_logs_of_all_parts_tell_one_story(piavpn: Plugin, app: probes.Pod) -> None:
    told = [line["part"] for line in _logged(piavpn)]
    assert {"operator", f"agent on {app.node}", "gateway", f"{ROOM}/web gate"} <= set(told)
    lines = _logged(piavpn)
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    everything = "\n".join(line["line"] for line in lines)
    assert "steady" not in everything
    assert manifests.PASSWORD not in everything


def _logged(piavpn: Plugin) -> list[dict[str, str]]:
    said = piavpn.run("logs", VPN, "-o", "json")
    assert not said.err
    return [plugin.Said(0, line, "").json() for line in said.out.splitlines()]


@pytest.mark.usefixtures("app")
def test_what_is_wrong_is_said_in_words(piavpn: Plugin) -> None:
    assert piavpn.run("status", "pluged", code=2).err == (
        "error: there is no PiaVpn 'pluged': did you mean plugged?\n"
    )
    nobody = piavpn.run("status", "--context", "nobody", code=2)
    assert nobody.err.startswith("error: no way to the Kubernetes API: ")


def test_a_leak_ends_with_1(piavpn: Plugin, app: probes.Pod) -> None:
    # By the time that it is asked for, the agent may have found the leak itself, and ended the pod.
    open_a_way_out = (
        "ip link add net1 type bridge && ip link set net1 up"
        " && echo 0 >/proc/sys/net/ipv6/conf/net1/disable_ipv6"
        " && ip -6 route add 2001:db8::1 dev net1"
    )
    nodes.run_in_namespace_of(app.node, app.uid, "sh", "-c", open_a_way_out)
    said = piavpn.run("leaktest", f"{ROOM}/web", code=1)
    print(said.out)
    assert cells(said.out)["RESULT"] != "no leak"
