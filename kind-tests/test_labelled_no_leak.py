"""Pods of any controller, put behind a tunnel by their label, get nothing out but by it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakepia import client
from harness import judge, kubectl, labelled, leaky, plugin, probes, waiting

pytestmark = pytest.mark.owns_nodes

VPN, NAMESPACE = "charts", "test-charts"


@pytest.fixture(scope="module")
def tunnel() -> Iterator[probes.Tunnel]:
    with probes.tunnel(VPN, location="nl_amsterdam") as made:
        yield made


def test_a_deployment_a_stateful_set_and_a_job_leave_by_the_tunnel_alone(
    tunnel: probes.Tunnel, leaks: judge.Judge, pia: client.Client
) -> None:
    chart = labelled.workload(
        "Deployment", "chart", VPN,
        {
            "initContainers": [
                labelled.container("early", *leaky.one_round()),
                labelled.container("sidecar", restartPolicy="Always"),
            ],
            "containers": [
                labelled.container("app", *leaky.command()),
                labelled.container("beside"),
            ],
        },
        replicas=2,
    )  # fmt: skip
    page = labelled.container("app", "python3", "-m", "http.server", "8080")
    pages = labelled.workload(
        "StatefulSet",
        "pages",
        VPN,
        {"containers": [page]},
        {labelled.RECEIVE: "8080/tcp"},
        replicas=3,
    )
    asks = (
        f"import urllib.request as r; print(r.urlopen('http://{probes.WHO_AM_I}/').read().decode())"
    )
    asking = labelled.container("app", "python3", "-c", asks)
    job = labelled.workload(
        "Job", "job", VPN, {"restartPolicy": "Never", "containers": [asking]}, completions=2
    )

    with leaks.nothing_leaves(tunnel.ordinary):
        kubectl.apply(chart, pages, job)
        labelled.wait_for(chart)
        for each in labelled.pods_of(chart):
            app = probes.Pod(each["metadata"]["name"], NAMESPACE)
            leaky.Leaky.in_pod(app).wait_for_answers()
            log = kubectl.run("logs", app.name, "-n", NAMESPACE, "-c", "early")
            assert "UDP bound to the device: [Errno 1] Operation not permitted" in log
            assert (
                kubectl.condition("pod", app.name, labelled.CONFINED, NAMESPACE)["status"] == "True"
            )
            kubectl.wait_for("pod", app.name, "piavpn.dev/LeakFree", NAMESPACE)
        kubectl.wait_for("job", "job", "Complete", NAMESPACE)
        said = kubectl.run("logs", "-n", NAMESPACE, "-l", "app=job", "-c", "app", "--tail=-1")
        assert said.split() == [tunnel.server_address] * 2
        labelled.wait_for(pages)

        # The port goes to the oldest that wants it.
        def answered() -> bool:
            port = (tunnel.status().get("forwardedPort") or {}).get("port")
            assert port, tunnel.status()
            found = pia.connect(tunnel.server_address, port, "tcp", "GET / HTTP/1.0\r\n\r\n")
            return found is not None and "200 OK" in found

        waiting.eventually(answered, "the page is seen from the Internet", timeout=120)
        told = kubectl.condition("pod", "pages-0", labelled.ACCEPTED, NAMESPACE)
        assert told["message"] == f"the forwarded port of PiaVpn {VPN} goes to this pod"
        told = kubectl.condition("pod", "pages-1", labelled.ACCEPTED, NAMESPACE)
        assert told["message"].startswith(f"pod {NAMESPACE}/pages-0 receives the forwarded port")
        shown = plugin.piavpn("port", VPN)
        assert (shown.code, shown.err) == (0, "")
        assert f"Receiver:    pod {NAMESPACE}/pages-0\n" in shown.out

    assert tunnel.status()["services"] == 1 + 2 + 3  # the tunnel's own app, and those that run
    kubectl.delete(chart, pages, job)
