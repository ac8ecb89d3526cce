"""A confined app is reached as any other: by probes, Services, LAN, kubectl and its own node."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import answers, kubectl, lan, manifests, nodes, probes, waiting

ROOM = "test-reached"
BALANCED = "172.31.255.77"
"""What a load balancer would announce: an address that nobody has."""
LAN_PORT, INGRESS_PORT = 7701, 7703
APP = probes.Pod("web-0", ROOM)
PORTS = [
    {"name": "http", "port": answers.HTTP, "targetPort": answers.HTTP, "protocol": "TCP"},
    {"name": "udp", "port": answers.UDP, "targetPort": answers.UDP, "protocol": "UDP"},
]
_INGRESS = """
import os, sys
with open("/dev/shm/conf", "w") as conf:
    conf.write(f'Port 8888\\nReverseOnly Yes\\nReversePath "/" "{sys.argv[1]}"\\n')
os.execvp("tinyproxy", ["tinyproxy", "-d", "-c", "/dev/shm/conf"])
"""
"""A reverse proxy: to whom it asks for all that it is asked."""
_GET = """
import sys, urllib.request
try: print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode().strip())
except OSError as error: print("failed:", error)
"""


@pytest.fixture(scope="module", autouse=True)
def app(steady: probes.Tunnel) -> Iterator[None]:
    """Give an app that tells who asks it, and an ordinary pod on each node."""
    room = manifests.namespace(ROOM)
    ports = [{key: port[key] for key in ("name", "port", "protocol")} for port in PORTS]
    made = manifests.app("web", ROOM, steady.vpn, command=list(answers.COMMAND), ports=ports)
    callers = [manifests.ordinary_pod(f"on-{node}", ROOM, node) for node in nodes.names()]
    kubectl.apply(room, made, *callers)
    kubectl.wait_for("vpnapp", "web", "Ready", ROOM)
    for caller in callers:
        kubectl.wait_for("pod", caller["metadata"]["name"], "Ready", ROOM)
    yield
    kubectl.delete(made, room)


@pytest.fixture(params=["the app's node", "another node"])
def caller(request: pytest.FixtureRequest) -> probes.Pod:
    """Return an ordinary pod."""
    beside = request.param == "the app's node"
    (node,) = (name for name in nodes.names() if (name == APP.node) == beside)
    return probes.Pod(f"on-{node}", ROOM)


def get(pod: probes.Pod, host: str) -> str:
    """Ask over HTTP from a pod; a refusal comes back as `failed: ...`."""
    return pod.python(_GET, f"http://{host}:{answers.HTTP}/")


@contextlib.contextmanager
def service(name: str, **spec: object) -> Iterator[kubectl.Object]:
    """Give a Service that leads to the app."""
    wanted = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": ROOM},
        "spec": {"selector": {"piavpn.dev/service": "web"}, "ports": PORTS, **spec},
    }
    kubectl.apply(wanted)
    try:
        yield kubectl.get("service", name, ROOM) or {}
    finally:
        kubectl.delete(wanted)


# Probes


def answering() -> kubectl.Object:
    return {"command": list(answers.COMMAND)}


def etcd() -> kubectl.Object:
    """Return the program with gRPC's health service that every kubeadm cluster has."""
    chosen = ("-n", "kube-system", "-l", "component=etcd")
    image = kubectl.run("get", "pods", *chosen, "-o", "jsonpath={.items[0]..image}").split()
    if not image:
        pytest.skip("this cluster has no etcd of its own to run as an app")
    command = ["etcd", "--data-dir=/data", "--advertise-client-urls=http://127.0.0.1:2379"]
    return {
        "image": image[0],
        "command": [*command, "--listen-client-urls=http://0.0.0.0:2379"],
        "mounts": [{"path": "/data", "emptyDir": {}}],
    }


@pytest.mark.parametrize(
    ("program", "probe", "failing"),
    [
        (
            answering,
            {"httpGet": {"path": "/ready", "port": answers.HTTP}},
            {"httpGet": {"path": "/never", "port": answers.HTTP}},
        ),
        (answering, {"tcpSocket": {"port": answers.HTTP}}, {"tcpSocket": {"port": 1}}),
        (answering, {"exec": {"command": ["true"]}}, {"exec": {"command": ["false"]}}),
        (etcd, {"grpc": {"port": 2379}}, {"grpc": {"port": 2379, "service": "nobody's"}}),
    ],
    ids=["http", "tcp", "exec", "grpc"],
)
def test_the_kubelet_s_probes_tell_whether_an_app_is_well(
    steady: probes.Tunnel,
    program: Callable[[], kubectl.Object],
    probe: kubectl.Object,
    failing: kubectl.Object,
    request: pytest.FixtureRequest,
) -> None:
    def probed(by: kubectl.Object) -> kubectl.Object:
        often = {**by, "periodSeconds": 1, "failureThreshold": 1}
        return manifests.app("probed", ROOM, steady.vpn, readinessProbe=often, **program())

    request.addfinalizer(lambda: kubectl.delete(probed(probe)))
    kubectl.apply(probed(probe))
    kubectl.wait_for("vpnapp", "probed", "Ready", ROOM)
    kubectl.apply(probed(failing))
    waiting.eventually(
        lambda: "iness probe failed" in events_of("probed-0"), "the kubelet says that it fails"
    )
    kubectl.wait_for_reason("vpnapp", "probed", "Ready", "PodNotReady", ROOM)


def events_of(pod: str) -> str:
    chosen = f"--field-selector=involvedObject.name={pod}"
    return kubectl.run("get", "events", "-n", ROOM, chosen, "-o", "jsonpath={..message}")


# Services


def test_its_service_is_reached_from_pods_of_both_nodes(caller: probes.Pod) -> None:
    assert not get(caller, f"web.{ROOM}.svc").startswith("failed")
    # The control: who is not there is not reached.
    assert get(caller, f"web.{ROOM}.svc.cluster.local.invalid").startswith("failed")


def test_so_is_a_headless_one_and_the_pod_itself(caller: probes.Pod) -> None:
    with service("headless", clusterIP="None"):
        name = f"headless.{ROOM}.svc"
        waiting.eventually(lambda: caller.resolve(name) == APP.address, "the name has the address")
        assert not get(caller, name).startswith("failed")
    assert not get(caller, APP.address).startswith("failed")


def test_it_reaches_itself_by_its_own_service() -> None:
    assert not get(APP, f"web.{ROOM}.svc").startswith("failed")


@pytest.mark.owns_nodes
def test_the_lan_reaches_a_node_port_of_every_node() -> None:
    with service("by-node", type="NodePort") as made:
        tcp, udp = (port["nodePort"] for port in made["spec"]["ports"])
        for node in nodes.names():
            address = nodes.address_of(node)
            waiting.eventually(
                lambda a=address: not lan.tcp(a, tcp).startswith("failed"), f"TCP by {node}"
            )
            waiting.eventually(
                lambda a=address: not lan.udp(a, udp).startswith("failed"), f"UDP by {node}"
            )


@pytest.mark.owns_nodes
def test_an_app_sees_who_of_the_lan_asks_where_the_policy_is_local() -> None:
    address = nodes.address_of(APP.node)
    with service("by-its-node", type="NodePort", externalTrafficPolicy="Local") as made:
        tcp, udp = (port["nodePort"] for port in made["spec"]["ports"])
        waiting.eventually(lambda: lan.tcp(address, tcp) == lan.address(), "TCP, from the LAN")
        waiting.eventually(lambda: lan.udp(address, udp) == lan.address(), "UDP, from the LAN")


@pytest.mark.owns_nodes
@pytest.mark.parametrize("policy", ["Cluster", "Local"])
def test_the_lan_reaches_a_load_balancer_s_address(policy: str) -> None:
    with (
        service("balanced", type="LoadBalancer", externalTrafficPolicy=policy),
        lan.route_to(BALANCED, APP.node),
    ):
        ingress = f'{{"status":{{"loadBalancer":{{"ingress":[{{"ip":"{BALANCED}"}}]}}}}}}'
        kubectl.run(
            "patch", "service", "balanced", "-n", ROOM, "--subresource=status",
            "--type=merge", "-p", ingress,
        )  # fmt: skip

        def reached() -> bool:
            told = (lan.tcp(BALANCED, answers.HTTP), lan.udp(BALANCED, answers.UDP))
            assert not any(answer.startswith("failed") for answer in told), told
            return policy == "Cluster" or told == (lan.address(), lan.address())

        waiting.eventually(reached, "TCP and UDP from the LAN")


@pytest.mark.owns_nodes
def test_an_ingress_on_any_node_brings_the_lan_to_it(caller: probes.Pod) -> None:
    """As ingress controllers do it: they pass the Service by and ask its endpoints themselves."""
    endpoints = ("-n", ROOM, "-l", "kubernetes.io/service-name=web")
    found = kubectl.run("get", "endpointslices", *endpoints, "-o", "jsonpath={..addresses[0]}")
    assert found == APP.address
    ingress = manifests.ordinary_pod("ingress", ROOM, caller.node)
    (container,) = ingress["spec"]["containers"]
    container["command"] = ["python3", "-c", _INGRESS, f"http://{found}:{answers.HTTP}/"]
    container["ports"] = [{"containerPort": 8888, "hostPort": INGRESS_PORT}]
    try:
        kubectl.apply(ingress)
        kubectl.wait_for("pod", "ingress", "Ready", ROOM)
        by = probes.Pod("ingress", ROOM)
        address = nodes.address_of(by.node)
        # What pods of other nodes send may come with their node's address.
        asks = (by.address, address)
        waiting.eventually(lambda: lan.tcp(address, INGRESS_PORT) in asks, "the app's answer")
    finally:
        kubectl.delete(ingress)


@pytest.mark.owns_nodes
def test_the_lan_comes_in_and_the_app_does_not_go_out_to_it() -> None:
    reach = f"""
import socket
with socket.socket() as s:
    s.settimeout(5)
    try: s.connect(("{lan.address()}", {LAN_PORT})); print(s.recv(100).decode().strip())
    except OSError as error: print("failed:", error)
"""
    with (
        service("in-alone", type="NodePort", externalTrafficPolicy="Local") as made,
        lan.serving(LAN_PORT),
    ):
        port = made["spec"]["ports"][0]["nodePort"]
        address = nodes.address_of(APP.node)
        waiting.eventually(lambda: lan.tcp(address, port) == lan.address(), "LAN in")
        assert probes.Pod(f"on-{APP.node}", ROOM).python(reach) == "the LAN"  # the control
        assert APP.python(reach).startswith("failed")


# kubectl, and the node


def test_kubectl_executes_shows_logs_copies_and_forwards_ports(tmp_path: Path) -> None:
    assert APP.python("print('hello')") == "hello"
    assert not get(APP, "127.0.0.1").startswith("failed")
    assert "asked by 127.0.0.1" in kubectl.run("logs", APP.name, "-n", ROOM)
    (tmp_path / "there").write_text("and back")
    kubectl.run("cp", "-n", ROOM, str(tmp_path / "there"), f"{APP.name}:/dev/shm/file")
    kubectl.run("cp", "-n", ROOM, f"{APP.name}:/dev/shm/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "and back"
    command = ("kubectl", "port-forward", "-n", ROOM, f"pod/{APP.name}", f":{answers.HTTP}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forwarding:
        assert forwarding.stdout is not None
        try:
            port = forwarding.stdout.readline().split("127.0.0.1:")[1].split(" ")[0]
            done = subprocess.run(
                ("curl", "--silent", "--max-time", "5", f"http://127.0.0.1:{port}/"),
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert done.stdout.strip() == "127.0.0.1"
        finally:
            forwarding.kill()


@pytest.mark.owns_nodes
def test_its_node_reaches_it_at_its_bridge_address(steady: probes.Tunnel) -> None:
    address = str((kubectl.get("vpnapp", "web", ROOM) or {})["status"]["address"])
    host = steady.status()["network"]["hostAddress"]
    connect = f"exec 3<>/dev/tcp/{address}/{answers.HTTP}"
    ask = f"{connect}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    assert nodes.run(APP.node, "timeout", "5", "bash", "-c", ask).split()[-1] == host
