"""Pods of any controller, by label: confined like an app's pod, or refused in words that help."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pod_specs
import pytest

from harness import kubectl, labelled, manifests, nodes, probes, product, waiting
from piavpn.api import promise

pytestmark = pytest.mark.owns_nodes

VPN, NAMESPACE = "labelled", "test-labelled"
LABELS = {"piavpn.dev/vpn": VPN}


@pytest.fixture(scope="module")
def tunnel() -> Iterator[probes.Tunnel]:
    selected = {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}
    with probes.tunnel(VPN, location="nl_amsterdam", allowedNamespaces=selected) as made:
        yield made


def pod(name: str, **spec: Any) -> kubectl.Object:
    found = manifests.ordinary_pod(name, NAMESPACE)
    found["metadata"]["labels"] = LABELS
    found["spec"] |= spec
    return found


def refusal(body: kubectl.Object) -> str:
    """Return why the API server takes no such pod; empty where it would."""
    try:
        kubectl.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(body))
    except kubectl.KubectlError as error:
        return str(error)
    return ""


def test_twenty_replicas_come_and_go_and_leave_nothing(tunnel: probes.Tunnel) -> None:
    idle = [labelled.container("app")]
    many = labelled.workload("Deployment", "many", VPN, {"containers": idle}, replicas=0)
    scale = ("scale", "deployment/many", "-n", NAMESPACE)
    link = ("ip", "-json", "link", "show", "master", f"br-{VPN}")
    before = len(json.loads(nodes.run(tunnel.app.node, *link)))
    kubectl.apply(many)

    kubectl.run(*scale, "--replicas=20")
    labelled.wait_for(many)

    made = labelled.pods_of(many)
    assert len({labelled.address_of(each) for each in made} - {""}) == 20
    assert kubectl.get("networkpolicy", f"piavpn.{VPN}", NAMESPACE) is not None
    waiting.eventually(lambda: tunnel.status()["services"] == 21, "all are counted")

    kubectl.run(*scale, "--replicas=0")

    waiting.eventually(lambda: not labelled.pods_of(many), "the pods are gone", timeout=120)
    waiting.eventually(lambda: tunnel.status()["services"] == 1, "none is counted")
    waiting.eventually(
        lambda: kubectl.get("networkpolicy", f"piavpn.{VPN}", NAMESPACE) is None,
        "nor is their NetworkPolicy left",
    )
    waiting.eventually(
        lambda: len(json.loads(nodes.run(tunnel.app.node, *link))) == before,
        "and no link of theirs is on the bridge",
    )
    kubectl.delete(many)


def test_a_pod_waits_in_its_gate_while_there_is_no_operator(tunnel: probes.Tunnel) -> None:
    waiter = pod("waiter")
    with product.without_operator():
        kubectl.apply(waiter)

        def in_the_gate() -> bool:
            found = (kubectl.get("pod", "waiter", NAMESPACE) or {})["status"]
            return any("running" in one["state"] for one in found.get("initContainerStatuses", []))

        waiting.eventually(in_the_gate, "the gate runs")
        said = kubectl.wait_for_reason(
            "pod", "waiter", labelled.CONFINED, "AddressUnknown", NAMESPACE
        )
        assert "the operator gives the pod its address" in said["message"]
    kubectl.wait_for("pod", "waiter", "Ready", NAMESPACE)
    assert probes.Pod("waiter", NAMESPACE).tcp() == tunnel.server_address
    kubectl.delete(waiter)


def in_place(namespace: str, vpn: str) -> kubectl.Object:
    """Return a pod of another namespace, or with another label."""
    labels = {"piavpn.dev/vpn": vpn}
    return pod("a") | {"metadata": {"name": "a", "namespace": namespace, "labels": labels}}


REFUSED = [
    (pod("a", hostNetwork=True), "spec.hostNetwork: take it out"),
    (
        pod("a", containers=[labelled.container("app", securityContext={"privileged": True})]),
        "container app: securityContext.privileged undoes any lock",
    ),
    (
        pod("a", volumes=[{"name": "a", "hostPath": {"path": "/var//run"}}]),
        "hostPath /var/run/, which opens the whole node: mount a narrower one",
    ),
    (in_place(NAMESPACE, ""), "label piavpn.dev/vpn is empty: set it to the name of a PiaVpn, or"),
    (in_place(NAMESPACE, "nobody"), "where there is a PiaVpn nobody that has a network"),
    (in_place(NAMESPACE, "nobody"), "the pod has to bring it: see docs/labelled-pods.md"),
    (in_place("default", VPN), f"of PiaVpn {VPN} does not select namespace default: have the"),
]


@pytest.mark.usefixtures("tunnel")
def test_what_would_break_the_promise_is_refused_in_words_that_say_what_to_do() -> None:
    assert refusal(pod("fine")) == ""
    for body, words in REFUSED:
        assert words in refusal(body)
    for key, value, words in (
        ("piavpn.dev/address", "10.100.0.77", "annotation piavpn.dev/address is the operator's"),
        (
            labelled.RECEIVE,
            "70000/tcp",
            "must be tcp, udp or both, or such a word after the pod's own port",
        ),
        (labelled.RECEIVE, "TCP", "must be tcp, udp or both"),
    ):
        body = pod("a")
        body["metadata"]["annotations"] = {key: value}
        assert words in refusal(body)


def test_what_makes_a_living_pod_confined_cannot_be_changed(tunnel: probes.Tunnel) -> None:
    for target, change in (
        (tunnel.ordinary, ("label", f"piavpn.dev/vpn={VPN}")),
        (tunnel.app, ("label", "piavpn.dev/vpn-")),
        (tunnel.app, ("label", "--overwrite", "piavpn.dev/service=other")),
        (tunnel.app, ("annotate", "--overwrite", "piavpn.dev/address=10.100.0.77")),
        (tunnel.app, ("annotate", "piavpn.dev/address-")),
    ):
        verb, *rest = change
        with pytest.raises(kubectl.KubectlError, match=r"living pod|stays as it is"):
            kubectl.run(verb, "pod", target.name, "-n", NAMESPACE, *rest)


@pytest.mark.usefixtures("tunnel")
def test_the_policy_refuses_what_the_node_agent_would_cut_off_and_nothing_else() -> None:
    """One rule in two languages: the same specs to both."""
    changes = [*pod_specs.ALLOWED.values(), *(change for change, _ in pod_specs.REFUSED)]
    changes += [{"containers": [pod_specs.with_capabilities(*a)]} for a, _ in pod_specs.POWERS]
    changes += [
        {"volumes": [{"name": "a", "hostPath": {"path": path}}]}
        for path in (*pod_specs.KEYS_TO_THE_NODE, *pod_specs.OTHER_PATHS)
    ]
    judged = 0
    for change in changes:
        if "ephemeralContainers" in change:  # no pod is made with such
            continue
        spec = pod_specs.confined(**change)
        for each in ("initContainers", "containers"):
            spec[each] = [{"image": "busybox", **one} for one in spec[each] or []]
        body = pod("judged")
        body["spec"] = spec
        # As an app's, which no policy changes before.
        body["metadata"]["labels"] = LABELS | {"piavpn.dev/service": "judged"}
        assert bool(refusal(body)) == bool(promise.breach(spec)), spec
        judged += 1
    assert judged > 30
