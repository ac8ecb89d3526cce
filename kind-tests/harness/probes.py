"""A tunnel with an app behind it, and what can be tried from inside a pod."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness import kubectl, manifests

WHO_AM_I = "198.18.200.1"
"""The stand-in's Internet host that tells who asks: TCP 80, UDP 9, DNS 53."""

_TCP = """
import socket, sys
with socket.socket() as s:
    s.settimeout(5)
    if device: s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    s.connect((host, 80))
    s.sendall(b"GET / HTTP/1.0\\r\\nHost: whoami\\r\\n\\r\\n")
    print(b"".join(iter(lambda: s.recv(4096), b"")).split(b"\\r\\n\\r\\n")[1].decode().strip())
"""
_UDP = """
import socket
with socket.socket(type=socket.SOCK_DGRAM) as s:
    s.settimeout(5)
    if device: s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    s.connect((host, 9))
    s.send(b"who am I?")
    print(s.recv(100).decode().strip())
"""
_TRY = "device, host = {device!r}, {host!r}\ntry:\n{body}\nexcept OSError as e: print('failed:', e)"


@dataclasses.dataclass(frozen=True, slots=True)
class Pod:
    """A pod with Python in it."""

    name: str
    namespace: str
    container: str = "app"

    def python(self, code: str, *arguments: str) -> str:
        """Run Python code in the pod and return what it prints."""
        return kubectl.execute(
            self.name, self.namespace, self.container, "python3", "-c", code, *arguments
        ).strip()

    def start_python(self, code: str) -> None:
        """Run Python code in the pod and do not wait for its end."""
        quiet = "stdin=-3, stdout=-3, stderr=-3"  # subprocess.DEVNULL
        self.python(f"import subprocess; subprocess.Popen(['python3', '-c', {code!r}], {quiet})")

    def tcp(self, host: str = WHO_AM_I, *, device: str = "") -> str:
        """Ask who-am-I by TCP; a refusal comes back as `failed: ...`."""
        return self._try(_TCP, host, device)

    def udp(self, host: str = WHO_AM_I, *, device: str = "") -> str:
        """Ask who-am-I by UDP; a refusal comes back as `failed: ...`."""
        return self._try(_UDP, host, device)

    def resolve(self, name: str) -> str:
        """Resolve a name as the pod's programs do; a refusal comes back as `failed: ...`."""
        code = f"import socket\ntry: print(socket.gethostbyname({name!r}))\n"
        return self.python(code + "except OSError as e: print('failed:', e)")

    def get(self) -> kubectl.Object:
        """Return the pod's object."""
        found = kubectl.get("pod", self.name, self.namespace)
        assert found is not None, f"pod {self.name} is gone"
        return found

    @property
    def uid(self) -> str:
        """Its UID; empty while there is no such pod."""
        found = kubectl.get("pod", self.name, self.namespace) or {}
        return str(found.get("metadata", {}).get("uid", ""))

    @property
    def address(self) -> str:
        """Its address in the cluster; empty while it has none."""
        found = kubectl.get("pod", self.name, self.namespace) or {}
        return str(found.get("status", {}).get("podIP", ""))

    @property
    def container_id(self) -> str:
        """Its app's container's identity, another one after each start."""
        statuses = self.get()["status"].get("containerStatuses", [])
        return next(
            (one.get("containerID", "") for one in statuses if one["name"] == self.container), ""
        )

    @property
    def node(self) -> str:
        """The node that it runs on."""
        return str(self.get()["spec"]["nodeName"])

    def _try(self, body: str, host: str, device: str) -> str:
        indented = "\n".join(f"  {line}" for line in body.strip().splitlines())
        return self.python(_TRY.format(device=device, host=host, body=indented))


@dataclasses.dataclass(frozen=True, slots=True)
class Tunnel:
    """A PiaVpn that is ready, an app behind it, and an ordinary pod beside the app."""

    vpn: str
    app: Pod
    ordinary: Pod
    gateway: Pod

    def status(self) -> kubectl.Object:
        """Return the PiaVpn's status."""
        status: kubectl.Object = (kubectl.get("piavpn", self.vpn) or {})["status"]
        return status

    @property
    def server_address(self) -> str:
        """The address of the server that the tunnel ends at."""
        return str(self.status()["session"]["serverAddress"])


@contextlib.contextmanager
def tunnel(
    name: str,
    *,
    location: str,
    command: Sequence[str] = (),
    app: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Iterator[Tunnel]:
    """Make a tunnel, with more of its `spec` where given, and pods, and remove them.

    Args:
        name: the PiaVpn's.
        location: where its server is.
        command: what the app runs; nothing: it idles.
        app: more of the app's `spec`.
        spec: more of the PiaVpn's.
    """
    namespace = f"test-{name}"
    secret = manifests.credentials(f"test-{name}")
    vpn = manifests.pia_vpn(name, secret=f"test-{name}", location=location, **spec)
    own = {"command": list(command)} if command else {}
    probe = manifests.app("probe", namespace, name, **own, **(app or {}))
    room = manifests.namespace(namespace)
    try:
        kubectl.apply(room, secret, vpn, probe)
        kubectl.wait_for("piavpn", name, "Ready")
        kubectl.wait_for("vpnapp", "probe", "Ready", namespace)
        confined = Pod("probe-0", namespace)
        kubectl.apply(manifests.ordinary_pod("ordinary", namespace, confined.node))
        kubectl.wait_for("pod", "ordinary", "Ready", namespace)
        gateway = Pod(f"piavpn-gateway-{name}-0", manifests.SYSTEM, "gateway")
        yield Tunnel(name, confined, Pod("ordinary", namespace), gateway)
    finally:
        kubectl.delete(probe, vpn, secret, room)
