"""Start and stop the operator: kopf's watches in the main thread, the passes in one beside it."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import threading

import kopf

from piavpn import keptlists, kube, logs, metrics
from piavpn.controller import (
    dedicatedips,
    errands,
    handlers,
    leases,
    observe,
    reconciler,
    serverlists,
    watches,
)
from piavpn.controller import metrics as operator_metrics
from piavpn.controller import pulse as pulses
from piavpn.controller import queue as queues
from piavpn.controller import settings as own_settings
from piavpn.kube.metrics import with_requests

log = logging.getLogger(__name__)

LIVENESS = "http://0.0.0.0:8080/healthz"
METRICS_PORT = 9810


def run() -> int:
    """Run until SIGTERM; return the exit code."""
    try:
        logs.set_up(os.environ)
        cluster = kube.Cluster.connect()
        operator = own_settings.Settings.from_environment(_own_image(cluster))
    except (ValueError, kube.KubeError) as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it all
        return 1
    asyncio.run(_serve(cluster, operator))
    return 0


def _own_image(cluster: kube.Cluster) -> str:
    """Return the image that this very pod runs: no second place to keep in step."""
    name, namespace = os.environ.get("POD_NAME", ""), os.environ.get("PIAVPN_NAMESPACE", "")
    pod = cluster.get(kube.PODS, name, namespace) if name and namespace else None
    if pod is None:
        raise ValueError("set POD_NAME and PIAVPN_NAMESPACE in the operator's Deployment")
    (image,) = (c["image"] for c in pod["spec"]["containers"] if c["name"] == "operator")
    return str(image)


async def _serve(cluster: kube.Cluster, operator: own_settings.Settings) -> None:
    queue = queues.DueQueue()
    lists = serverlists.ServerLists(keptlists.KeptLists(cluster, operator.namespace))
    dedicated = dedicatedips.DedicatedIps()
    runner = errands.Errands(cluster, operator, lists, dedicated, queue.add)
    wake_all = functools.partial(queue.add, reconciler.HOUSEKEEPING)
    agents = leases.Leases(cluster, operator.namespace, wake_all)
    pulse = pulses.Pulse()
    passes = cluster.telling(pulse.beat)
    observer = observe.Observer(passes, operator, lists, dedicated, agents)
    loop = reconciler.Reconciler(passes, operator.namespace, observer, queue, runner, pulse)
    stop, stopped = threading.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    threads = [
        threading.Thread(target=loop.run, args=(stop,), name="reconciler"),
        *watches.threads(cluster, operator.namespace, loop, stop),
        threading.Thread(target=agents.run, args=(stop,), daemon=True, name="leases"),
    ]
    # Not in kopf's event loop: kopf takes what runs there for its own, and waits for its end.
    told = operator_metrics.Metrics(queue, loop)
    server = metrics.serve("0.0.0.0", METRICS_PORT, with_requests(told.read))  # noqa: S104 - Prometheus asks at the pod's address
    for thread in threads:
        thread.start()
    try:
        await kopf.operator(
            registry=handlers.registry(loop),
            settings=handlers.settings(),
            standalone=True,
            clusterwide=True,
            liveness_endpoint=LIVENESS,
            stop_flag=stopped,
        )
    finally:
        stop.set()
        queue.close()
        threads[0].join(timeout=10)
        server.shutdown()
        runner.close()  # after the last pass, which may still start one
