"""The operator in a world of its own: a Kubernetes API and a PIA, both over real HTTP."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import ipaddress
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kube_server
import pia_server
import scraping
import test_manifests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from kube_calls import Call
from pia_server import Reply

from piavpn import keptlists, kube, metrics
from piavpn.controller import (
    dedicatedips,
    errands,
    leases,
    model,
    observe,
    queue,
    reconciler,
    serverlists,
    settings,
)
from piavpn.controller import pulse as pulses
from piavpn.controller.metrics import Metrics

NAMESPACE = "piavpn-system"
GATEWAY = "piavpn-gateway-home"
ACCOUNT = "piavpn-account-pia-credentials"
PASSWORD = "correct horse battery"
TOKEN = "0123456789abcdef" * 8
AUTHORITY = pia_server.Authority("A public CA")
KEY = pia_server.new_key()
LOCAL = x509.IPAddress(ipaddress.IPv4Address(pia_server.HOST))
DOCUMENT = {
    "groups": {"wg": [{"name": "wireguard", "ports": [1337]}]},
    "regions": [
        {
            "id": "swiss",
            "name": "Switzerland",
            "country": "CH",
            "auto_region": True,
            "port_forward": True,
            "geo": False,
            "offline": False,
            "servers": {
                "wg": [
                    {"ip": "198.18.1.1", "cn": "zurich401"},
                    {"ip": "198.18.1.2", "cn": "zurich402"},
                ]
            },
        }
    ],
}
SETTINGS = settings.Settings(NAMESPACE, "piavpn:0.1.0", "cluster.local", ())


@dataclasses.dataclass
class Pia:
    """What PIA answers now, and a door that holds every answer back while it is shut."""

    login: Reply = dataclasses.field(
        default_factory=lambda: Reply(200, json.dumps({"token": TOKEN}))
    )
    door: threading.Event = dataclasses.field(default_factory=threading.Event)
    logins: int = 0
    lists: int = 0

    def reply(self, call: pia_server.Call) -> Reply:
        if call.method == "POST":
            self.logins += 1
        else:
            self.lists += 1
        self.door.wait(timeout=20)
        return self.login if call.method == "POST" else Reply(200, signed(DOCUMENT))


def signed(document: dict[str, Any]) -> bytes:
    line = json.dumps(document).encode()
    signature = KEY.sign(line, padding.PKCS1v15(), hashes.SHA256())
    return line + b"\n\n" + base64.encodebytes(signature)


class Observer(observe.Observer):
    """The operator's own, which also tells whose passes have begun."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.begun: list[str] = []

    def observe(self, name: str) -> model.Observed:
        self.begun.append(name)
        return super().observe(name)


class World:
    """One operator, whose passes the test asks for in place of kopf."""

    def __init__(self, api: kube_server.Api, pia: Pia, pia_port: int) -> None:
        self.api, self.pia = api, pia
        self._base = f"https://{pia_server.HOST}:{pia_port}"
        cluster = api.cluster()
        lists = serverlists.ServerLists(keptlists.KeptLists(cluster, NAMESPACE))
        self._queue = queue.DueQueue()
        wake_all = functools.partial(self._queue.add, reconciler.HOUSEKEEPING)
        self.leases = leases.Leases(cluster, NAMESPACE, wake_all)
        dedicated = dedicatedips.DedicatedIps()
        runner = errands.Errands(cluster, SETTINGS, lists, dedicated, self._queue.add)
        self.seconds_ahead = 0.0
        pulse = pulses.Pulse(lambda: time.monotonic() + self.seconds_ahead)
        passes = cluster.telling(pulse.beat)
        self._observer = Observer(passes, SETTINGS, lists, dedicated, self.leases)
        self.loop = reconciler.Reconciler(
            passes, NAMESPACE, self._observer, self._queue, runner, pulse
        )
        self._runner = runner
        self._metrics = metrics.serve("127.0.0.1", 0, Metrics(self._queue, self.loop).read)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.loop.run, args=(self._stop,))

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._queue.close()
        self._thread.join(timeout=20)
        self.pia.door.set()
        self._runner.close()
        self._metrics.shutdown()
        self._metrics.server_close()

    # What users, controllers and the other programs do

    def node_and_ranges(self) -> None:
        addresses = [
            {"type": "InternalIP", "address": "172.18.0.2"},
            {"type": "InternalIP", "address": "fc00::2"},
            {"type": "Hostname", "address": "n1"},
        ]
        self.api.put(
            kube.NODES,
            "n1",
            spec={"podCIDRs": ["10.244.0.0/24"]},
            status={"addresses": addresses},
        )
        self.api.put(kube.SERVICE_CIDRS, "kubernetes", spec={"cidrs": ["10.96.0.0/16"]})

    def credentials(self, password: str = PASSWORD, name: str = "pia-credentials") -> None:
        data = {"username": "p1234567", "password": password}
        encoded = {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
        self.api.put(kube.SECRETS, name, NAMESPACE, data=encoded)

    def vpn(self, name: str = "home", **spec: Any) -> None:
        endpoints = {
            "tokenURL": f"{self._base}/token",
            "serverListURL": f"{self._base}/servers",
            "serverListPublicKey": pia_server.public_pem(KEY),
            "publicCABundle": AUTHORITY.pem,
        }
        wanted = {
            "credentialsSecretRef": {"name": "pia-credentials"},
            "serverLocation": "swiss",
            "endpoints": endpoints,
        }
        self.api.put(kube.PIA_VPNS, name, spec=wanted | spec)

    def service(self, name: str = "web", vpn: str = "home", **spec: Any) -> None:
        wanted = {
            "vpnRef": {"name": vpn},
            "image": "busybox:1.37",
            "ports": [{"name": "web", "port": 8080, "protocol": "TCP"}],
        }
        self.api.put(kube.VPN_SERVICE_CONTAINERS, name, "media", spec=wanted | spec)

    def run_pod(self, stateful_set: str, namespace: str) -> None:
        """Do what the StatefulSet's controller, the kubelet and the node agent do."""
        made = self.api.get(kube.STATEFUL_SETS, stateful_set, namespace)
        template = made["spec"]["template"]
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self.api.put(
            kube.PODS,
            f"{stateful_set}-0",
            namespace,
            metadata=template["metadata"],
            spec=template["spec"] | {"nodeName": "n1"},
            status=ready,
        )
        self.told(kube.PODS, f"{stateful_set}-0", namespace, "piavpn.dev/Confined")

    def told(self, kind: kube.Kind, name: str, namespace: str | None, *true: str) -> None:
        """Do what the other programs do: say that these conditions hold."""
        conditions = [
            {
                "type": condition,
                "status": "True",
                "reason": "Fine",
                "message": "",
                "observedGeneration": 1,
                "lastTransitionTime": kube_server.CREATED,
            }
            for condition in true
        ]
        self.api.put(kind, name, namespace, status={"conditions": conditions})

    def make_tunnel(self) -> None:
        """Make the tunnel `home`, and wait until it works."""
        self.credentials()
        self.vpn()
        self.loop.wake("home")
        eventually(lambda: self.vpn_condition("ServersKnown") == ("True", "ServersFound"))
        eventually(lambda: self.vpn_condition("Authenticated") == ("True", "LoggedIn"))
        self.run_pod(GATEWAY, NAMESPACE)
        self.told(kube.PIA_VPNS, "home", None, "Registered", "TunnelUp")
        self.pass_over("home")
        assert self.vpn_condition("Ready") == ("True", "Ready")

    def make_app(self) -> None:
        """Make the app `web` behind `home`, and wait until it runs."""
        self.service()
        self.pass_over("home")
        self.run_pod("web", "media")
        self.pass_over("home")
        assert self.service_condition("Ready") == ("True", "Ready")

    # What a test looks at

    def metrics(self) -> dict[str, float]:
        """Return what Prometheus reads now, by its name for it."""
        return scraping.scrape(f"http://127.0.0.1:{self._metrics.server_port}/metrics")

    def names_of(self, kind: kube.Kind) -> set[str]:
        return {item["metadata"]["name"] for item in self.api.all(kind)}

    def secret(self, name: str) -> dict[str, str]:
        """Return the decoded data of a Secret of the operator's namespace."""
        data = self.api.get(kube.SECRETS, name, NAMESPACE)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def condition(
        self, kind: kube.Kind, name: str, wanted: str, namespace: str | None = None
    ) -> Any:
        """Return (status, reason) of the condition, or None."""
        status = self.api.get(kind, name, namespace).get("status", {})
        for found in status.get("conditions", []):
            if found["type"] == wanted:
                return found["status"], found["reason"]
        return None

    def vpn_condition(self, wanted: str, name: str = "home") -> Any:
        return self.condition(kube.PIA_VPNS, name, wanted)

    def service_condition(self, wanted: str, name: str = "web") -> Any:
        return self.condition(kube.VPN_SERVICE_CONTAINERS, name, wanted, "media")

    def pass_over(self, *vpns: str) -> None:
        """Ask for passes, and wait until they have ended: a pass ends before the next begins."""
        for vpn in (*(vpns or ("home",)), "another"):
            known = self._observer.begun.count(vpn)
            self.loop.wake(vpn)
            eventually(functools.partial(self._has_begun, vpn, known))

    def _has_begun(self, vpn: str, known: int) -> bool:
        return self._observer.begun.count(vpn) > known


def eventually(holds: Callable[[], bool], shown: Callable[[], object] = lambda: "never") -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, shown()
        time.sleep(0.01)


def granted(call: Call) -> bool:
    """Tell whether the operator's roles allow it; an apply that creates needs both verbs."""
    everywhere = test_manifests.GRANTS["piavpn-operator", "ClusterRole"]
    own = test_manifests.GRANTS["piavpn-operator", "Role"]
    verbs = set(everywhere.get((call.group, call.resource), set()))
    if call.namespace == NAMESPACE:
        verbs |= own.get((call.group, call.resource), set())
    return call.verb in verbs


@contextlib.contextmanager
def running(directory: Path) -> Iterator[World]:
    pia = Pia()
    pia.door.set()
    certificate = AUTHORITY.issue(directory, "www", names=(LOCAL,))
    with kube_server.serving(granted) as api, pia_server.serving(certificate, pia.reply) as front:
        world = World(api, pia, front.port)
        world.node_and_ranges()
        world.start()
        try:
            yield world
        finally:
            world.close()
