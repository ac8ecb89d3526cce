"""A gateway moves to another node, and its apps stay where they are, and go on.

Their traffic is back, nothing of it leaks, and none of them is started again.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import apart, judge, kubectl, leaky, probes, product

pytestmark = pytest.mark.owns_nodes


@pytest.fixture
def tunnel() -> Iterator[probes.Tunnel]:
    """Give a tunnel whose app stays where it is, and the gateway beside it."""
    _, worker = apart.places()
    with probes.tunnel(
        "wanderer", location="nl_amsterdam", command=leaky.command(), app=apart.on(worker)
    ) as made:
        yield made


def test_apps_follow_a_gateway_to_another_node_and_back(
    tunnel: probes.Tunnel, leaks: judge.Judge
) -> None:
    control_plane, worker = apart.places()
    before = _identity(tunnel.app)
    app = leaky.Leaky.in_pod(tunnel.app)
    app.wait_for_answers()
    for here, there in ((worker, control_plane), (control_plane, worker)):
        with leaks.nothing_leaves(tunnel.ordinary), kubectl.cordoned(here):
            product.delete(tunnel.gateway)
            assert tunnel.gateway.node == there
            app.wait_for_answers()
        kubectl.wait_for("vpnapp", "probe", "Ready", tunnel.app.namespace)
    assert _identity(tunnel.app) == before


def _identity(pod: probes.Pod) -> tuple[str, str, int]:
    found = pod.get()
    (status,) = found["status"]["containerStatuses"]
    return found["metadata"]["uid"], status["containerID"], status["restartCount"]
