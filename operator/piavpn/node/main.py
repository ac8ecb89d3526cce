"""Start and stop the node agent."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import ipaddress
import logging
import os
import pathlib
import signal
import threading
from collections.abc import Mapping

from piavpn import health, kube, logs, metrics
from piavpn.api import cidrs
from piavpn.kube.metrics import with_requests
from piavpn.node import lease, sandbox
from piavpn.node.alarms import Alarms
from piavpn.node.attach import Attacher
from piavpn.node.canonical import Canonical
from piavpn.node.facts import Facts
from piavpn.node.host import Host
from piavpn.node.leaktests import LeakTests
from piavpn.node.links import Links
from piavpn.node.loop import Loop
from piavpn.node.metrics import Metrics
from piavpn.node.outbox import Outbox
from piavpn.node.outlets import Outlets
from piavpn.node.pods import Pods
from piavpn.node.publication import Publisher
from piavpn.node.report import Reporter
from piavpn.node.view import View

log = logging.getLogger(__name__)

STATE = pathlib.Path("/run/piavpn")
"""On the node: the VPNs' own directories."""
CGROUPS = pathlib.Path("/host/sys/fs/cgroup")
"""The node's cgroup file system, as it is mounted into the agent."""
_HEALTH_PORT, _METRICS_PORT = 9809, 9810


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What the DaemonSet tells the agent."""

    node: str
    pod: str
    namespace: str
    cluster_cidrs: tuple[ipaddress.IPv4Network, ...]
    address: str
    """The node's own, at which Prometheus reaches the agent."""
    health_port: int
    metrics_port: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read NODE_NAME, NODE_ADDRESS, POD_NAME, PIAVPN_NAMESPACE and PIAVPN_CLUSTER_CIDRS.

        PIAVPN_HEALTH_PORT and PIAVPN_METRICS_PORT have defaults.

        Raises:
            ValueError: one is missing or cannot be used.
        """
        for name in ("NODE_NAME", "NODE_ADDRESS", "POD_NAME", "PIAVPN_NAMESPACE"):
            if not environment.get(name):
                raise ValueError(f"set {name} in the node agent's DaemonSet")
        return cls(
            node=environment["NODE_NAME"],
            pod=environment["POD_NAME"],
            namespace=environment["PIAVPN_NAMESPACE"],
            cluster_cidrs=cidrs.given(environment),
            address=environment["NODE_ADDRESS"],
            health_port=_port(environment, "PIAVPN_HEALTH_PORT", _HEALTH_PORT),
            metrics_port=_port(environment, "PIAVPN_METRICS_PORT", _METRICS_PORT),
        )


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    given = environment.get(name) or str(default)
    if not given.isdecimal():
        raise ValueError(f"{name} must be a port's number, not {given!r}")
    return int(given)


def run() -> int:
    """Run until SIGTERM; return the exit code."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        logs.set_up(os.environ, logs.subject("Node", os.environ.get("NODE_NAME", "")))
        settings = Settings.from_environment(os.environ)
        _refuse_own_namespace()
        _serve(settings, kube.Cluster.connect(), stop)
    except (ValueError, kube.KubeError, OSError) as error:
        log.error("the node agent cannot start: %s", error)  # noqa: TRY400 - the message says all
        return 1
    return 0


def _refuse_own_namespace() -> None:
    if not sandbox.in_nodes_namespace():
        raise ValueError("it must run with hostNetwork and hostPID")


def _serve(settings: Settings, cluster: kube.Cluster, stop: threading.Event) -> None:
    view = View(
        node=settings.node,
        namespace=settings.namespace,
        cluster_cidrs=settings.cluster_cidrs,
    )
    known = Canonical()
    reporter = Reporter(cluster, view.told)
    outbox = Outbox(cluster, view.owners)
    alarms = Alarms(view.bell)
    wireguard, outlets = Links(CGROUPS), Outlets(known)
    host = Host(known, wireguard, outlets, STATE)
    leak_tests = LeakTests(alarms, view.bell)
    attacher = Attacher(known, wireguard, outlets, alarms, leak_tests)
    pods = Pods(attacher, alarms, outbox, leak_tests)
    loop = Loop(view, host, pods, reporter, leak_tests.report, settings.node)
    heartbeat = lease.Heartbeat(
        cluster,
        lease.Holder(settings.node, settings.pod, settings.namespace),
        node_uid=lambda: view.node_uid(settings.node),
        passes=lambda: loop.passes if reporter.settled else 0,
        facts=Facts(pods.members, leak_tests).read,
    )
    publisher = Publisher(
        cluster,
        settings.node,
        settings.namespace,
        public_key=lambda: host.mesh.key.pair().public,
        node_uid=lambda: view.node_uid(settings.node),
        wanted=lambda: view.complete and view.wants_node_keys,
        published=lambda: view.node_key(settings.node),
    )
    server = health.serve(
        "127.0.0.1",
        settings.health_port,
        {"/livez": lambda: loop.alive and view.alive and leak_tests.alive},
    )
    told = Metrics(pods.members, leak_tests, pods.cut_offs, pods.durations)
    _serve_metrics(settings, with_requests(told.read))
    view.start(cluster, stop)
    for name, run in (
        ("report", reporter.run),
        ("send", outbox.run),
        ("listen", alarms.run),
        ("heartbeat", heartbeat.run),
        ("test", leak_tests.run),
        ("publish", publisher.run),
    ):
        threading.Thread(target=run, args=(stop,), name=name, daemon=True).start()
    log.info("node agent of node %s is running", settings.node)
    # It visits pods' namespaces, and whoever comes by `kubectl exec` is where the first thread is.
    with concurrent.futures.ThreadPoolExecutor(1, "passes") as one:
        one.submit(loop.run, stop).result()
    alarms.close()
    server.shutdown()
    log.info("node agent ends; attached pods stay attached and locked")


def _serve_metrics(settings: Settings, read: metrics.Read) -> None:
    try:
        metrics.serve(settings.address, settings.metrics_port, read)
    except OSError as error:
        # No reason to keep pods from being attached, and watched.
        where = f"{settings.address}, port {settings.metrics_port}"
        log.error("there are no metrics at %s (PIAVPN_METRICS_PORT): %s", where, error)  # noqa: TRY400
