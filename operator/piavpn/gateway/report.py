"""Write the gateway's status and Events, in a thread of its own: the API may be down for long."""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from piavpn import kube
from piavpn.api import codec, names, piavpns
from piavpn.gateway import events, portreport, status

log = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0  # seconds after a failed write
_MOST_EVENTS = 50
"""How many Events wait for the API; the oldest are forgotten."""


class Reporter:
    """Keeps one PiaVpn's status equal to what was shown last, and posts what happened."""

    def __init__(self, vpn: str, connect: Callable[[], kube.Cluster]) -> None:
        self._vpn = vpn
        self._connect = connect
        self._cluster: kube.Cluster | None = None
        self._shown: status.Report | None = None
        self._events: collections.deque[events.Event] = collections.deque(maxlen=_MOST_EVENTS)
        self._shown_port: portreport.PortReport | None = None
        self._changed = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._keep_writing, name="reporter", daemon=True).start()

    def show(self, report: status.Report) -> None:
        """Have this written; never waits. A newer report replaces one that is yet unwritten."""
        if report != self._shown:
            self._shown = report
            self._changed.set()

    def tell(self, event: events.Event) -> None:
        """Have this Event posted; never waits."""
        self._events.append(event)
        self._changed.set()

    def show_port(self, report: portreport.PortReport | None) -> None:
        """Have this written of the forwarded port; None where there is to be none."""
        if report != self._shown_port:
            self._shown_port = report
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
        if vpn is None:
            return
        if report is not None:
            self._write_status(self._cluster, vpn, report)
        while self._events:
            self._post(self._cluster, vpn, self._events[0])
            self._events.popleft()

    def _write_status(self, cluster: kube.Cluster, vpn: kube.Object, report: status.Report) -> None:
        known = codec.decode(piavpns.PiaVpnStatus, vpn.get("status") or {})
        wanted = status.body(
            self._vpn,
            report,
            self._shown_port,
            before=known.conditions,
            generation=vpn["metadata"].get("generation", 0),
            now=datetime.now(UTC),
        )
        cluster.apply_status(kube.PIA_VPNS, wanted, manager=names.MANAGER_GATEWAY)

    def _post(self, cluster: kube.Cluster, vpn: kube.Object, event: events.Event) -> None:
        try:
            cluster.create_event(
                {**vpn, "apiVersion": names.API_VERSION, "kind": "PiaVpn"},
                type=event.type,
                reason=event.reason,
                message=event.message,
                component=names.MANAGER_GATEWAY,
            )
        except kube.KubeError as error:
            if not error.answered:
                raise
            log.warning(
                "no Event %s: %s", event.reason, error
            )  # asked again, it would say the same
