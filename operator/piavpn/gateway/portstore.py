"""Where a port outlives its gateway: a file that lives as long as the pod, and a Secret.

The Secret is mounted, so it is read with the API down, too; it is written by the API, in a thread
of its own, for the API may be down for long.
"""

from __future__ import annotations

import base64
import json
import logging
import pathlib
import threading
from collections.abc import Callable

from piavpn import kube
from piavpn.api import names
from piavpn.pia.portforward import SignedPort

log = logging.getLogger(__name__)

FILE = "port.json"
"""Name of the file in the pod's memory, and of the Secret's key as it is mounted."""
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0  # seconds after a failed write


class Store:
    """Keeps one VPN's signed port."""

    def __init__(
        self,
        vpn: str,
        namespace: str,
        *,
        state: pathlib.Path,
        mounted: pathlib.Path,
        connect: Callable[[], kube.Cluster],
    ) -> None:
        """Keep the port of `vpn`.

        Args:
            vpn: name of the PiaVpn.
            namespace: the Secret's.
            state: a directory that lives as long as the pod.
            mounted: where the kubelet shows the VPN's key of the Secret.
            connect: a way to the API.
        """
        self._vpn, self._namespace = vpn, namespace
        self._file = state / FILE
        self._mounted = mounted
        self._connect = connect
        self._cluster: kube.Cluster | None = None
        self._text = ""
        self._changed = threading.Event()

    def load(self) -> SignedPort | None:
        """Return the port that was kept last; None where there is none that can be read."""
        return _read(self._file) or _read(self._mounted)

    def start(self) -> None:
        """Start the thread that writes the Secret: at once, where an earlier process could not."""
        left = _read(self._file)
        if left is not None and left != _read(self._mounted):
            self._text = _text(left)
            self._changed.set()
        threading.Thread(target=self._keep_writing, name="portstore", daemon=True).start()

    def keep(self, port: SignedPort) -> None:
        """Keep the port; the Secret is written when the API answers.

        Raises:
            OSError: the file cannot be written.
        """
        self._text = _text(port)
        fresh = self._file.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(self._text, encoding="utf-8")
        fresh.replace(self._file)
        self._changed.set()

    def _keep_writing(self) -> None:
        wait = _FIRST_WAIT
        while self._changed.wait():
            self._changed.clear()
            try:
                self._write()
                wait = _FIRST_WAIT
            except kube.KubeError as error:
                log.warning("port not kept in its Secret, again in %.0f s: %s", wait, error)
                self._changed.wait(wait)
                self._changed.set()
                wait = min(wait * 2, _LONGEST_WAIT)

    def _write(self) -> None:
        self._cluster = self._cluster or self._connect()
        data = {self._vpn: base64.b64encode(self._text.encode()).decode()}
        patched = self._cluster.patch(
            kube.SECRETS, names.PORTS_SECRET, self._namespace, {"data": data}
        )
        if patched is None:
            raise kube.KubeError(
                0, f"there is no Secret {names.PORTS_SECRET}; the operator makes it"
            )


def _text(port: SignedPort) -> str:
    return json.dumps({"payload": port.payload, "signature": port.signature})


def _read(file: pathlib.Path) -> SignedPort | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return SignedPort.of(content["payload"], content["signature"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
