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

    def __init__(self, state: pathlib.Path, config: GatewayConfig, resolv_conf: str) -> None:
        """Write its configuration."""
        self._config_file = state / "dnsmasq.conf"
        cluster = dns.cluster_upstreams(config.cluster_domain, inputs.nameservers(resolv_conf))
        self._config_file.write_text(
            dns.config(config.network.gateway_address, cluster), encoding="utf-8"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start it, and a thread that starts it again."""
        threading.Thread(target=self._keep_running, name="resolver", daemon=True).start()

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
