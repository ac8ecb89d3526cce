"""The gateway's resolver process: dnsmasq, started again whenever it ends."""

from __future__ import annotations

import logging
import pathlib
import subprocess
import threading

from piavpn.api.gateway_config import GatewayConfig
from piavpn.gateway import dns, inputs

log = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0


class Resolver:
    """dnsmasq on the gateway's bridge address, in a process of its own."""

    def __init__(self, state: pathlib.Path) -> None:
        """Keep its configuration in the directory `state`."""
        self._config_file = state / "dnsmasq.conf"
        self._config = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()

    def go_by(self, config: GatewayConfig, resolv_conf: str) -> None:
        """Have it run by what the operator and the pod's resolv.conf(5) tell now.

        It is started the first time, with a thread that starts it again whenever it ends.
        """
        cluster = dns.cluster_upstreams(config.cluster_domain, inputs.nameservers(resolv_conf))
        wanted = dns.config(config.network.gateway_address, cluster)
        if wanted == self._config:
            return
        is_first, self._config = not self._config, wanted
        self._config_file.write_text(wanted, encoding="utf-8")
        if is_first:
            threading.Thread(target=self._keep_running, name="resolver", daemon=True).start()
        elif self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """End it for good."""
        self._stopped.set()
        if self._process is not None:
            self._process.terminate()

    def _keep_running(self) -> None:
        command = ["dnsmasq", "--keep-in-foreground", f"--conf-file={self._config_file}"]
        while not self._stopped.is_set():
            try:
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
                code = self._process.wait()
            except OSError as error:
                log.error("dnsmasq cannot be started: %s", error.strerror)  # noqa: TRY400
            else:
                log.warning("dnsmasq ended with code %d", code)
            self._stopped.wait(_RESTART_SECONDS)
