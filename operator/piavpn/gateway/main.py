"""`piavpn gateway`: rules before anything else, then root given up, then the loop."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys

from pyroute2 import NetlinkError

from piavpn import health, kube, logs, metrics
from piavpn.gateway import (
    inputs,
    loop,
    portforwarder,
    portstore,
    privileges,
    report,
)
from piavpn.gateway import metrics as gateway_metrics
from piavpn.kube.metrics import with_requests
from piavpn.net import nft

log = logging.getLogger(__name__)

HEALTH_PORT = 8080
_FAILED = 1


def run(files: inputs.Files | None = None) -> int:
    """Run until SIGTERM; return the exit code.

    Args:
        files: where the pod has its inputs and state, if not where the operator mounts them.
    """
    vpn = os.environ.get("PIAVPN_VPN", "")
    try:
        logs.set_up(os.environ, logs.subject("PiaVpn", vpn))
    except ValueError as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it all
        return _FAILED
    # As a container's first process we would ignore the signal without a handler of our own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Inherited by dnsmasq, which a SIGHUP before it has its own handler would end.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if not vpn:
        log.error("PIAVPN_VPN must name the PiaVpn; the operator sets it in the pods that it makes")
        return _FAILED
    try:
        _run(vpn, os.environ.get("PIAVPN_NAMESPACE", ""), files or inputs.Files())
    except (privileges.PrivilegeError, nft.NftError, NetlinkError, OSError) as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it all
    return _FAILED


def _run(vpn: str, namespace: str, files: inputs.Files) -> None:
    privileges.give_up_root()
    dice = random.Random()  # noqa: S311 - jitter
    reporter = report.Reporter(vpn, kube.Cluster.connect)
    gateway = loop.Gateway(files, reporter, dice)
    gateway.start()
    store = portstore.Store(
        vpn, namespace, state=files.state, mounted=files.port, connect=kube.Cluster.connect
    )
    forwarder = portforwarder.PortForwarder(files, gateway, reporter, store, dice)
    forwarder.start()
    told = gateway_metrics.Metrics(vpn, files.config, gateway, forwarder.report)
    health.serve(
        "0.0.0.0",  # noqa: S104 - the kubelet asks at the pod's address
        HEALTH_PORT,
        {"/livez": gateway.live, "/readyz": gateway.ready},
        {"/metrics": metrics.page(with_requests(told.read))},
    )
    reporter.start()
    try:
        while True:
            gateway.turn()
    finally:
        gateway.stop()
