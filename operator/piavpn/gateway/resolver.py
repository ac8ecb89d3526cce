"""The gateway's resolver process: dnsmasq, started again whenever it ends."""

from __future__ import annotations

import logging
import pathlib
import signal
import subprocess
import threading

from piavpn.api.gateway_config import GatewayConfig
from piavpn.gateway import dns, inputs
from piavpn.gateway.session import Session

log = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0


class Resolver:
    """dnsmasq on the gateway's bridge address, in a process of its own."""

    def __init__(self, state: pathlib.Path, config: GatewayConfig, resolv_conf: str) -> None:
        """Write its files; nothing but names of the cluster can be asked yet."""
        self._config_file = state / "dnsmasq.conf"
        self._upstream_file = state / "dnsmasq-upstreams.conf"
        self._cluster = dns.cluster_upstreams(
            config.cluster_domain, inputs.nameservers(resolv_conf)
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._stopped = threading.Event()
        self._upstream_file.write_text(self._cluster, encoding="utf-8")
        self._config_file.write_text(
            dns.config(config.network.gateway_address, self._upstream_file), encoding="utf-8"
        )

    def start(self) -> None:
        """Start it, and a thread that starts it again."""
        threading.Thread(target=self._keep_running, name="resolver", daemon=True).start()

    def use(self, session: Session) -> None:
        """Ask the session's resolvers from now on. Unchanged ones keep the cache.

        Raises:
            OSError: the file cannot be written.
        """
        wanted = self._cluster + dns.tunnel_upstreams(session.link, session.dns_servers)
        if wanted == self._upstream_file.read_text(encoding="utf-8"):
            return
        fresh = self._upstream_file.with_suffix(".new")
        fresh.write_text(wanted, encoding="utf-8")
        # Held, so that a process that starts now either reads the new file or gets the signal.
        with self._starting:
            fresh.replace(self._upstream_file)
            if self._process is not None:
                self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End it for good."""
        self._stopped.set()
        if self._process is not None:
            self._process.terminate()

    def _keep_running(self) -> None:
        command = ["dnsmasq", "--keep-in-foreground", f"--conf-file={self._config_file}"]
        while not self._stopped.is_set():
            try:
                with self._starting:
                    self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
                code = self._process.wait()
            except OSError as error:
                log.error("dnsmasq cannot be started: %s", error.strerror)  # noqa: TRY400
            else:
                log.warning("dnsmasq ended with code %d", code)
            self._stopped.wait(_RESTART_SECONDS)
