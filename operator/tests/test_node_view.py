from __future__ import annotations

import queue
import threading
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pod_specs
import pytest

from piavpn.node import readers, view
from piavpn.node.model import Gate, Owner, Pod, Role


def pod(labels: dict[str, str], **changes: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "uid": "u1",
            "name": "app-0",
            "namespace": "media",
            "creationTimestamp": "2026-11-23T10:00:00Z",
            "labels": labels,
            "annotations": {"piavpn.dev/address": "10.100.0.10"},
        },
        "spec": pod_specs.confined(),
        "status": {"phase": "Pending"},
    } | changes


KEY = "OBiYs5MPvoiSrgVFhZNjjb4CKMFnQXA0OLedj3hKw3U="
NODE = {"name": "n1", "uid": "u-n1"}
SERVICE = {"piavpn.dev/vpn": "home", "piavpn.dev/service": "app"}


def test_a_services_pod_is_read() -> None:
    seen = readers.read_service_pod(pod(SERVICE))
    assert seen is not None
    assert seen.pod == Pod(
        uid="u1",
        name="app-0",
        namespace="media",
        role=Role.SERVICE,
        vpn="home",
        owner=Owner("app", "media"),
        address=IPv4Address("10.100.0.10"),
        name_servers=("10.100.0.2",),
    )


def test_a_labelled_pod_is_its_own_and_its_controllers() -> None:
    body = pod({"piavpn.dev/vpn": "home"})
    body["metadata"]["ownerReferences"] = [
        {"uid": "uid-of-another"},
        {"uid": "uid-of-set", "controller": True},
    ]
    seen = readers.read_service_pod(body)
    assert seen is not None
    assert seen.pod.owner == Owner("app-0", "media", is_pod=True)
    assert (seen.pod.role, seen.pod.made_by) == (Role.SERVICE, "uid-of-set")


def test_a_pod_with_an_empty_service_label_is_no_labelled_pod() -> None:
    """The rules on labelled pods pass it by, and it brings an address of its own choice."""
    seen = readers.read_service_pod(pod({"piavpn.dev/vpn": "home", "piavpn.dev/service": ""}))
    assert seen is not None
    assert seen.pod.owner == Owner("", "media")


def test_what_the_operator_says_on_a_pod_is_not_taken_for_our_own_word() -> None:
    told = [
        {"type": kind, "status": "True", "reason": "Fine"}
        for kind in ("piavpn.dev/Accepted", "piavpn.dev/Confined", "Ready")
    ]
    seen = readers.read_service_pod(pod(SERVICE, status={"conditions": told}))
    assert seen is not None
    assert [condition.type for condition in seen.told] == ["piavpn.dev/Confined"]


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("2026-11-23T13:00:00+01:00", datetime(2026, 11, 23, 12, tzinfo=UTC)),
        ("2026-11-23T12:00:00", None),
        ("now", None),
    ],
)
def test_a_leak_test_is_asked_for_by_a_time_with_a_zone(
    written: str, asked: datetime | None
) -> None:
    body = pod(SERVICE)
    body["metadata"]["annotations"]["piavpn.dev/leak-test-requested-at"] = written
    seen = readers.read_service_pod(body)
    assert seen is not None
    assert seen.pod.leak_test_asked == asked


def test_a_services_pod_that_breaks_the_promise_is_known_by_what_does() -> None:
    seen = readers.read_service_pod(pod(SERVICE, spec=pod_specs.confined(hostNetwork=True)))
    assert seen is not None
    assert "spec.hostNetwork" in seen.pod.breach


def test_a_gateways_pod_belongs_to_its_vpn() -> None:
    seen = readers.read_gateway_pod(pod({"piavpn.dev/gateway": "home"}))
    assert seen is not None
    assert (seen.pod.role, seen.pod.vpn, seen.pod.owner) == (Role.GATEWAY, "home", Owner("home"))


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_none(phase: str) -> None:
    assert readers.read_service_pod(pod(SERVICE, status={"phase": phase})) is None


def test_an_address_that_is_none_is_no_address() -> None:
    body = pod(SERVICE)
    body["metadata"]["annotations"] = {"piavpn.dev/address": "10.100.0.300"}
    seen = readers.read_service_pod(body)
    assert seen is not None
    assert seen.pod.address is None


@pytest.mark.parametrize(
    ("spec", "cidrs"),
    [
        ({"podCIDRs": ["10.244.1.0/24", "fd00:1::/64"]}, (IPv4Network("10.244.1.0/24"),)),
        ({"podCIDR": "10.244.1.0/24"}, (IPv4Network("10.244.1.0/24"),)),
        ({}, ()),
    ],
)
def test_a_nodes_pod_cidrs_are_its_ipv4_ones(
    spec: dict[str, Any], cidrs: tuple[IPv4Network, ...]
) -> None:
    assert readers.read_node({"metadata": NODE, "spec": spec}).pod_cidrs == cidrs


def test_a_nodes_own_addresses_are_its_internal_ipv4_ones() -> None:
    addresses = [
        {"type": "InternalIP", "address": "192.168.1.4"},
        {"type": "InternalIP", "address": "fd00::4"},
        {"type": "ExternalIP", "address": "203.0.113.4"},
        {"type": "Hostname", "address": "box"},
    ]
    body = {"metadata": NODE, "spec": {}, "status": {"addresses": addresses}}
    assert readers.read_node(body).addresses == (IPv4Address("192.168.1.4"),)


def gate(state: dict[str, Any]) -> Gate:
    told = {"name": "piavpn-gate", "containerID": "containerd://0123", "state": state}
    body = pod(SERVICE, status={"initContainerStatuses": [told]})
    seen = readers.read_service_pod(body)
    assert seen is not None
    return seen.pod.gate


def test_a_gate_is_known_by_its_container_while_it_runs_and_passed_when_it_ended_well() -> None:
    assert gate({"waiting": {"reason": "PodInitializing"}}) == Gate()
    assert gate({"running": {}}) == Gate("0123")
    assert gate({"terminated": {"exitCode": 0}}) == Gate(passed=True)
    assert gate({"terminated": {"exitCode": 2}}) == Gate()


def test_the_uid_of_a_node_is_known_once_the_node_is() -> None:
    seen = view.View(node="n1", namespace="piavpn-system")
    assert seen.node_uid("n1") is None
    seen.nodes.take("ADDED", {"metadata": NODE, "spec": {}})
    assert (seen.node_uid("n1"), seen.node_uid("n2")) == ("u-n1", None)


def test_a_pod_that_is_being_deleted_is_known_to_be() -> None:
    body = pod(SERVICE)
    body["metadata"]["deletionTimestamp"] = "2026-11-23T11:00:00Z"
    seen = readers.read_service_pod(body)
    assert seen is not None
    assert seen.pod.ending


def cidr(uid: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "name": uid}, "spec": body}


def test_half_of_the_clusters_addresses_are_no_answer() -> None:
    seen = view.View(node="n1", namespace="piavpn-system")
    seen.nodes.take("ADDED", cidr("n1", {"podCIDRs": ["10.244.0.0/24"]}))
    seen.nodes.take("ADDED", cidr("n2", {"podCIDRs": ["10.244.1.0/24"]}))
    seen.nodes.take("SYNCED", {})
    assert seen.snapshot().cluster == ()
    seen.service_cidrs.take("ADDED", cidr("kubernetes", {"cidrs": ["10.96.0.0/12", "fd00::/112"]}))
    seen.service_cidrs.take("SYNCED", {})
    assert seen.snapshot().cluster == (IPv4Network("10.96.0.0/12"), IPv4Network("10.244.0.0/23"))
    assert seen.snapshot().service_cidrs == (IPv4Network("10.96.0.0/12"),)


def test_lists_that_are_still_being_read_are_no_answer() -> None:
    seen = view.View(node="n1", namespace="piavpn-system")
    seen.service_cidrs.take("ADDED", cidr("kubernetes", {"cidrs": ["10.96.0.0/12"]}))
    seen.service_cidrs.take("SYNCED", {})
    seen.nodes.take("ADDED", cidr("n1", {"podCIDRs": ["10.244.0.0/24"]}))
    assert seen.snapshot().cluster == ()
    seen.nodes.take("ADDED", cidr("n2", {"podCIDRs": ["10.244.1.0/24"]}))
    assert seen.snapshot().cluster == ()
    seen.nodes.take("SYNCED", {})
    assert seen.snapshot().cluster == (IPv4Network("10.96.0.0/12"), IPv4Network("10.244.0.0/23"))


def test_given_addresses_are_taken_as_they_are() -> None:
    given = [IPv4Network("10.42.0.0/16"), IPv4Network("10.43.0.0/16")]
    seen = view.View(node="n1", namespace="piavpn-system", cluster_cidrs=given)
    assert seen.snapshot().cluster == (IPv4Network("10.42.0.0/15"),)


def test_a_service_has_the_address_of_its_status() -> None:
    seen = view.View(node="n1", namespace="piavpn-system")
    app = {
        "metadata": {
            "uid": "s1",
            "name": "app",
            "namespace": "media",
            "creationTimestamp": "2026-11-23T10:00:00Z",
        },
        "spec": {"vpnRef": {"name": "home"}, "image": "web"},
    }
    seen.services.take("ADDED", app)
    assert seen.snapshot().services == {Owner("app", "media"): None}
    seen.services.take("MODIFIED", app | {"status": {"address": "10.100.0.10"}})
    assert seen.snapshot().services == {Owner("app", "media"): IPv4Address("10.100.0.10")}


def test_what_bypasses_the_tunnel_is_known_by_who_names_it() -> None:
    seen = view.View(node="n1", namespace="piavpn-system")
    vpn = {"credentialsSecretRef": {"name": "pia"}, "bypassCIDRs": ["192.168.1.0/24"]}
    app = {"vpnRef": {"name": "home"}, "image": "web", "bypassCIDRs": ["192.168.7.9/32"]}
    made = {"creationTimestamp": "2026-11-23T10:00:00Z"}
    seen.vpns.take("ADDED", {"metadata": {"uid": "v1", "name": "home"}, "spec": vpn})
    metadata = {"uid": "s1", "name": "app", "namespace": "media"} | made
    seen.services.take("ADDED", {"metadata": metadata, "spec": app})
    assert seen.snapshot().bypass == {
        Owner("home"): (IPv4Network("192.168.1.0/24"),),
        Owner("app", "media"): (IPv4Network("192.168.7.9/32"),),
    }


def test_an_object_that_cannot_be_read_is_left_out_and_comes_back_when_it_can() -> None:
    bell = threading.Event()
    shelf = view.Shelf(readers.read_service_cidrs, bell)
    shelf.take("ADDED", cidr("k", {"cidrs": ["10.96.0.0/12"]}))
    shelf.take("MODIFIED", cidr("k", {"cidrs": ["nonsense"]}))
    assert shelf.items() == []
    shelf.take("MODIFIED", cidr("k", {"cidrs": ["10.96.0.0/12"]}))
    assert shelf.items() == [(IPv4Network("10.96.0.0/12"),)]
    assert bell.is_set()
    shelf.take("DELETED", cidr("k", {}))
    assert shelf.items() == []


def remote(uid: str, node: str, created: str, **labels: str) -> dict[str, Any]:
    body = pod({f"piavpn.dev/{name}": value for name, value in labels.items()})
    body["metadata"] |= {"uid": uid, "creationTimestamp": created}
    body["spec"] = body["spec"] | {"nodeName": node}
    return body


def with_nodes(*known: str) -> view.View:
    seen = view.View(node="n1", namespace="piavpn-system")
    for number, name in enumerate(known, 1):
        address = {"type": "InternalIP", "address": f"192.0.2.{number}"}
        metadata = {"name": name, "uid": f"u-{name}"}
        seen.nodes.take("ADDED", {"metadata": metadata, "status": {"addresses": [address]}})
    return seen


def elsewhere(seen: view.View) -> list[tuple[str, str]]:
    return [(item.pod.uid, str(item.node)) for item in seen.snapshot().elsewhere]


def test_a_pod_of_another_node_is_known_with_that_nodes_address_and_is_none_of_ours() -> None:
    seen = with_nodes("n1", "n2")
    app = remote("a", "n2", "2026-11-23T10:00:00Z", vpn="home", service="app")
    seen.remote_service_pods.take("ADDED", app)
    assert elsewhere(seen) == [("a", "192.0.2.2")]
    assert seen.snapshot().node == IPv4Address("192.0.2.1")
    assert (seen.snapshot().pods, seen.told(), seen.owners()) == ((), {}, {})


@pytest.mark.parametrize("node", ["", "n3"])
def test_a_pod_without_a_node_that_is_known_is_nowhere(node: str) -> None:
    seen = with_nodes("n1", "n2")
    app = remote("a", node, "2026-11-23T10:00:00Z", vpn="home", service="app")
    seen.remote_service_pods.take("ADDED", app)
    assert elsewhere(seen) == []


def test_of_other_nodes_pods_the_likeliest_holders_of_an_address_come_first() -> None:
    seen = with_nodes("n1", "n2", "n3", "n4")
    for uid, node, created in (("old", "n2", "10"), ("new", "n3", "11"), ("newest", "n4", "12")):
        gateway = remote(f"{uid}-gateway", node, f"2026-11-23T{created}:00:00Z", gateway="home")
        app = remote(f"{uid}-app", node, f"2026-11-23T{created}:00:00Z", vpn="home", service="app")
        if uid in {"old", "newest"}:
            ending = {"deletionTimestamp": "2026-11-23T13:00:00Z"}
            gateway["metadata"] |= ending if uid == "newest" else {}
            app["metadata"] |= ending if uid == "old" else {}
        seen.remote_gateway_pods.take("ADDED", gateway)
        seen.remote_service_pods.take("ADDED", app)
    assert elsewhere(seen) == [
        ("new-gateway", "192.0.2.3"),
        ("old-gateway", "192.0.2.2"),
        ("new-app", "192.0.2.3"),
        ("newest-app", "192.0.2.4"),
        ("newest-gateway", "192.0.2.4"),
        ("old-app", "192.0.2.2"),
    ]


def key_of(node: str, key: str) -> dict[str, Any]:
    labels = {"piavpn.dev/node": node}
    metadata = {"uid": f"k-{node}", "name": f"piavpn-node-{node}", "labels": labels}
    return {"kind": "ConfigMap", "metadata": metadata, "data": {"publicKey": key}}


def test_a_nodes_key_is_known_by_its_address_as_soon_as_both_are() -> None:
    seen = with_nodes("n1", "n2")
    for node in ("n2", "n9"):
        seen.node_keys.take("ADDED", key_of(node, KEY))
    assert seen.snapshot().node_keys == {IPv4Address("192.0.2.2"): KEY}
    assert (seen.node_key("n2"), seen.node_key("n1")) == (KEY, None)
    # What is no key is as good as none.
    seen.node_keys.take("MODIFIED", key_of("n2", "nonsense"))
    assert seen.snapshot().node_keys == {}


def test_keys_are_wanted_while_any_vpn_is_encrypted() -> None:
    seen = with_nodes("n1")
    vpn = {"metadata": {"uid": "v1", "name": "home"}}
    spec = {"credentialsSecretRef": {"name": "pia"}}
    seen.vpns.take("ADDED", vpn | {"spec": spec})
    assert not seen.wants_node_keys
    encrypted = spec | {"network": {"nodeEncryption": "WireGuard"}}
    seen.vpns.take("MODIFIED", vpn | {"spec": encrypted})
    assert seen.wants_node_keys


def test_pods_are_watched_here_and_elsewhere_apart() -> None:
    asked: queue.Queue[tuple[str, str]] = queue.Queue()

    class Listening:
        def watch(self, kind: Any, **selection: Any) -> Any:
            if kind.plural == "pods":
                asked.put((selection["labels"], selection["fields"]))
            return iter(())

    stop = threading.Event()
    view.View(node="n1", namespace="piavpn-system").start(Listening(), stop)  # type: ignore[arg-type]
    assert sorted(asked.get(timeout=5) for _ in range(4)) == [
        ("piavpn.dev/gateway", "spec.nodeName!=n1"),
        ("piavpn.dev/gateway", "spec.nodeName=n1"),
        ("piavpn.dev/vpn", "spec.nodeName!=n1"),
        ("piavpn.dev/vpn", "spec.nodeName=n1"),
    ]
