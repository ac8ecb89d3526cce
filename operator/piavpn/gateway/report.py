"""Write the gateway's status to the API, in a thread of its own: the API may be down for long."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from piavpn import kube
from piavpn.api import codec, names, types
from piavpn.gateway import status

log = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0  # seconds after a failed write


class Reporter:
    """Keeps one PiaVpn's status equal to what was shown last."""

    def __init__(self, vpn: str, connect: Callable[[], kube.Cluster]) -> None:
        self._vpn = vpn
        self._connect = connect
        self._cluster: kube.Cluster | None = None
        self._shown: status.Report | None = None
        self._changed = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._keep_writing, name="reporter", daemon=True).start()

    def show(self, report: status.Report) -> None:
        """Have this written; never waits. A newer report replaces one that is yet unwritten."""
        if report != self._shown:
            self._shown = report
            self._changed.set()

    def _keep_writing(self) -> None:
        wait = _FIRST_WAIT
        while self._changed.wait():
            self._changed.clear()
            try:
                self._write()
                wait = _FIRST_WAIT
            except (kube.KubeError, ValueError) as error:
                log.warning("status not written, trying again in %.0f s: %s", wait, error)
                self._changed.wait(wait)
                self._changed.set()
                wait = min(wait * 2, _LONGEST_WAIT)

    def _write(self) -> None:
        report = self._shown
        self._cluster = self._cluster or self._connect()
        vpn = self._cluster.get(kube.PIA_VPNS, self._vpn)
        if vpn is None or report is None:
            return
        known = codec.decode(types.PiaVpnStatus, vpn.get("status") or {})
        wanted = status.body(
            self._vpn,
            report,
            before=known.conditions,
            generation=vpn["metadata"].get("generation", 0),
            now=datetime.now(UTC),
        )
        self._cluster.apply_status(kube.PIA_VPNS, wanted, manager=names.MANAGER_GATEWAY)
