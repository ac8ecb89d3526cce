"""What users have instead: a tunnel in the app's own pod, and a VXLAN link to a gateway's pod.

The first is what gluetun's sidecar does, the second what pod-gateway does. Both are made of
standard programs, at the server of the product's own tunnel, on its gateway's node, with its MTU
and each with an account of its own: the latest key of an account is the only one at a server.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from fakepia import client
from harness import kubectl, manifests, probes

_FOLDER = pathlib.Path(__file__).parent
_GATEWAY = "vxlan-gateway"


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """One that the stand-in knows beside the product's."""

    username: str
    password: str = "battery staple"


SIDECAR = Account("p7000001")
VXLAN = Account("p7000002")


class Rivals:
    """Pods of both ways, for a tunnel's server, node and MTU, in its app's namespace."""

    def __init__(self, tunnel: probes.Tunnel) -> None:
        session, endpoints = tunnel.status()["session"], manifests.endpoints()
        self._namespace = tunnel.app.namespace
        self._node = tunnel.gateway.node
        mtu = f"print(open('/sys/class/net/{session['link']}/mtu').read())"
        self._settings = {
            "TOKEN_URL": endpoints["tokenURL"],
            "PUBLIC_CA": endpoints["publicCABundle"],
            "PIA_CA": endpoints["caBundle"],
            "SERVER": session["server"],
            "SERVER_ADDRESS": session["serverAddress"],
            "MTU": tunnel.gateway.python(mtu),
        }
        self.sidecar = probes.Pod("sidecar", self._namespace)
        self.vxlan = probes.Pod("vxlan", self._namespace)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Have an app by each of the other ways for the time of a block."""
        gateway, sidecar = self._gateway(), self._sidecar()
        app = self.behind_gateway(self.vxlan.name, "172.16.0.10")
        try:
            kubectl.apply(*gateway, sidecar)
            self._wait_until_ready(_GATEWAY, self.sidecar.name)
            kubectl.apply(app)
            self._wait_until_ready(self.vxlan.name)
            yield
        finally:
            kubectl.delete(app, sidecar, *gateway)

    def behind_gateway(
        self, name: str, address: str, command: Sequence[str] = ()
    ) -> kubectl.Object:
        """Return a pod with a VXLAN link to the gateway's.

        Args:
            name: the pod's.
            address: its own on that link, in 172.16.0.0/24; the gateway's is the first there.
            command: what its app runs; nothing: it idles.
        """
        settings = {
            "GATEWAY_NAME": f"{_GATEWAY}.{self._namespace}.svc.cluster.local",
            "ADDRESS": address,
            "MTU": self._settings["MTU"],
        }
        return self._pod(name, [_app(command)], [_privileged("route", ("client",), settings)])

    def _wait_until_ready(self, *names: str) -> None:
        for name in names:
            kubectl.wait_for("pod", name, "Ready", self._namespace)

    def _sidecar(self) -> kubectl.Object:
        return self._pod(self.sidecar.name, [_app(), self._tunnel("sidecar", SIDECAR)])

    def _gateway(self) -> list[kubectl.Object]:
        """Return the pod that others have a VXLAN link to, and its name in the DNS."""
        labels = {"app": _GATEWAY}
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": _GATEWAY, "namespace": self._namespace},
            "spec": {"clusterIP": "None", "selector": labels},
        }
        return [self._pod(_GATEWAY, [self._tunnel("gateway", VXLAN)], labels=labels), service]

    def _tunnel(self, script: str, account: Account) -> kubectl.Object:
        """Return a container that keeps a tunnel up, and is ready when it is."""
        login = {"PIA_USERNAME": account.username, "PIA_PASSWORD": account.password}
        container = _privileged("tunnel", ("tunnel", script), self._settings | login)
        is_up = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1}
        return container | {"readinessProbe": is_up}

    def _pod(
        self,
        name: str,
        containers: list[kubectl.Object],
        init_containers: Sequence[kubectl.Object] = (),
        *,
        labels: dict[str, str] | None = None,
    ) -> kubectl.Object:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": self._namespace, "labels": labels or {}},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": self._node},
                "terminationGracePeriodSeconds": 0,
                "initContainers": list(init_containers),
                "containers": containers,
            },
        }


@contextlib.contextmanager
def beside(tunnel: probes.Tunnel, pia: client.Client) -> Iterator[Rivals]:
    """Have an app by each of the other ways for the time of a block."""
    for account in (SIDECAR, VXLAN):
        pia.accept_credentials(account.username, account.password)
    rivals = Rivals(tunnel)
    with rivals.running():
        yield rivals


def _privileged(name: str, scripts: Sequence[str], settings: Mapping[str, str]) -> kubectl.Object:
    return {
        "name": name,
        "image": os.environ["PIAVPN_IMAGE"],
        "command": [
            "sh",
            "-euc",
            "\n".join((_FOLDER / f"{one}.sh").read_text() for one in scripts),
        ],
        "env": [{"name": key, "value": value} for key, value in settings.items()],
        "securityContext": {"privileged": True, "runAsUser": 0},
    }


def _app(command: Sequence[str] = ()) -> kubectl.Object:
    spec: kubectl.Object = manifests.ordinary_pod("", "")["spec"]
    container: kubectl.Object = spec["containers"][0]
    return container | ({"command": list(command)} if command else {})
