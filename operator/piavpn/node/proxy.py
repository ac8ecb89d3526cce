"""The bootstrap proxy: by it a gateway registers at PIA's servers before it has a tunnel.

It is tinyproxy on the bridge's host address, for the gateway's address alone, and it connects to
nothing but the servers that the operator gave to that gateway.
"""

from __future__ import annotations

import contextlib
import logging
import pathlib
import re
import shutil
import signal
import subprocess
from collections.abc import Collection

from piavpn.api import names
from piavpn.api.gateway_config import Server
from piavpn.node.model import Network

log = logging.getLogger(__name__)

_STOP_SECONDS = 5.0


class ProxyError(Exception):
    """The proxy cannot be run; the message says why."""


def configuration(network: Network, servers: Collection[Server], filter_file: pathlib.Path) -> str:
    """Return tinyproxy's configuration. Pure.

    FilterURLs makes the filter see `host:port` of a CONNECT; without it any listed host could be
    reached on any of the ports.
    """
    ports = sorted({server.port for server in servers})
    return "\n".join(
        (
            "User nobody",
            "Group nogroup",
            f"Listen {network.host}",
            f"Port {names.PROXY_PORT}",
            f"Allow {network.gateway}",
            "Timeout 60",
            "MaxClients 20",
            *(f"ConnectPort {port}" for port in ports),
            f'Filter "{filter_file}"',
            "FilterDefaultDeny Yes",
            "FilterType ere",
            "FilterURLs On",
            "FilterCaseSensitive Off",
            "DisableViaHeader Yes",
            "LogLevel Warning",
            "",
        )
    )


def allow_list(servers: Collection[Server]) -> str:
    """Return tinyproxy's filter: one expression for each server, exact. Pure."""
    expressions = {f"^{re.escape(str(server.address))}:{server.port}$" for server in servers}
    return "".join(f"{expression}\n" for expression in sorted(expressions))


class Proxy:
    """One VPN's running proxy. It ends with the agent; a gateway needs it to register only."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._configuration = directory / "tinyproxy.conf"
        self._filter = directory / "filter"
        self._process: subprocess.Popen[bytes] | None = None

    def ensure(self, network: Network, servers: Collection[Server]) -> None:
        """Make it run with this allow-list, in the calling thread's namespace.

        A new allow-list interrupts no connection.

        Raises:
            ProxyError: it cannot be started.
        """
        configuration_text = configuration(network, servers, self._filter)
        self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        reconfigured = _replace(self._configuration, configuration_text)
        refiltered = _replace(self._filter, allow_list(servers))
        if self._process is None or self._process.poll() is not None:
            self._start()
        elif reconfigured or refiltered:
            self._process.send_signal(signal.SIGUSR1)

    def stop(self) -> None:
        """End the proxy and remove its files."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._directory)

    def _start(self) -> None:
        if self._process is not None:
            log.warning("proxy ended with code %s: starting it again", self._process.returncode)
        try:
            self._process = subprocess.Popen(
                ["tinyproxy", "-d", "-c", str(self._configuration)], stdin=subprocess.DEVNULL
            )
        except OSError as error:
            raise ProxyError(f"tinyproxy cannot be started: {error}") from error


def _replace(path: pathlib.Path, text: str) -> bool:
    """Put the text there by rename, for a reader at any moment; return whether it is new."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_text(encoding="utf-8") == text:
            return False
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o644)
    new.replace(path)
    return True
