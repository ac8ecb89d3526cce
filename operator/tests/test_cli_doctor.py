"""`kubectl piavpn doctor`: every trouble by its name, with what to do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import cli_world
import crd_schema
import kube_server
import pytest
import test_manifests
import yaml
from cli_world import SYSTEM, Kubectl

from piavpn import kube
from piavpn.cli import doctor_rights, doctor_seen

api, kubectl = cli_world.api, cli_world.kubectl

IMAGE = "piavpn:0.1.0"
FACTS = {
    "kernel": "6.12.0",
    "wireguard": "kernel",
    "nftables": True,
    "cilium": False,
    "bridgedByIptables": False,
    "tested": 1,
    "rawFramesUnseen": 0,
    "rawFramesUnknown": 0,
}


POLICIES = {
    doctor_seen.VALIDATING: "piavpn-confined-pods",
    doctor_seen.MUTATING: "piavpn-labelled-pods",
}
ALL_WELL = """\
ok     Kubernetes                      v1.36.3
ok     CRD piavpns                     has all fields that this plugin knows
ok     CRD vpnservicecontainers        has all fields that this plugin knows
ok     policy piavpn-confined-pods     there, and bound
ok     policy piavpn-labelled-pods     there, and bound
ok     operator                        runs
ok     rights of piavpn-operator       as the manifests grant them
ok     rights of piavpn-node-agent     as the manifests grant them
ok     rights of piavpn-gateway        as the manifests grant them
ok     your own rights                 enough for all commands of the plugin
ok     node agent of worker            lives
ok     kernel of worker                6.12.0, with WireGuard and nf_tables
ok     leak layers of worker           all; the node's own filter drops raw frames of 1 apps
ok     networks                        no subnet overlaps 10.244.1.0/24, 10.96.0.0/16
ok     Pod Security of media           not set: apps may run as they are
ok     Pod Security of piavpn-system   privileged, for the node agents
ok     credentials of home             Secret pia-credentials has username and password
ok     PiaVpn home                     Ready: through zurich401 (198.18.11.1) in swiss
ok     vpnapp media/web                Ready
ok     images                          all parts run piavpn:0.1.0

20 checks: 20 ok, 0 to be looked at, 0 failed
"""


def pod(
    api: kube_server.Api, name: str, namespace: str, labels: dict[str, str], container: str
) -> None:
    kind = "initContainers" if container == "piavpn-gate" else "containers"
    spec = {"nodeName": "worker", "containers": [], kind: [{"name": container, "image": IMAGE}]}
    status = {"podIP": "10.244.1.7"}
    metadata = {"labels": labels}
    api.put(kube.PODS, name, namespace, metadata=metadata, spec=spec, status=status)


def put_lease(api: kube_server.Api, *, age: float = 3, **facts: Any) -> None:
    renewed = datetime.now(UTC) - timedelta(seconds=age)
    spec = {
        "holderIdentity": "piavpn-node-agent-x",
        "leaseDurationSeconds": 40,
        "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    metadata = {
        "labels": {"piavpn.dev/node-agent": ""},
        "annotations": {"piavpn.dev/node-facts": json.dumps(FACTS | facts)},
    }
    api.put(kube.LEASES, "piavpn-node-agent-worker", SYSTEM, metadata=metadata, spec=spec)


@pytest.fixture(autouse=True)
def _cluster(api: kube_server.Api) -> None:
    """Make a cluster where all is well."""
    for plural in ("piavpns", "vpnservicecontainers"):
        made = yaml.safe_load((crd_schema.ROOT / f"crds/{plural}.yaml").read_text())
        name = made["metadata"]["name"]
        api.put(doctor_seen.DEFINITIONS, name, spec=made["spec"])
    for kinds, policy in POLICIES.items():
        for kind in kinds:
            api.put(kind, policy)
    cli_world.put_vpn(api)
    cli_world.put_app(api)
    api.put(doctor_seen.DEPLOYMENTS, "piavpn-operator", SYSTEM, status={"readyReplicas": 1})
    own = "app.kubernetes.io/name"
    pod(api, "piavpn-operator-x", SYSTEM, {own: "piavpn-operator"}, "operator")
    pod(api, "piavpn-node-agent-x", SYSTEM, {own: "piavpn-node-agent"}, "node-agent")
    pod(api, "piavpn-gateway-home-0", SYSTEM, {"piavpn.dev/gateway": "home"}, "gateway")
    pod(api, "web-0", "media", {"piavpn.dev/vpn": "home"}, "piavpn-gate")
    put_lease(api)
    addresses = [{"type": "InternalIP", "address": "172.18.0.3"}, {"address": "worker"}]
    podcidrs = {"podCIDRs": ["10.244.1.0/24", "fd00::/64"]}
    api.put(kube.NODES, "worker", spec=podcidrs, status={"addresses": addresses})
    api.put(kube.SERVICE_CIDRS, "kubernetes", spec={"cidrs": ["10.96.0.0/16"]})
    privileged = {"pod-security.kubernetes.io/enforce": "privileged"}
    api.put(kube.NAMESPACES, SYSTEM, metadata={"labels": privileged})
    api.put(kube.NAMESPACES, "media")
    credentials = {"username": "cDEyMzQ1Njc=", "password": "c2VjcmV0"}
    api.put(kube.SECRETS, "pia-credentials", SYSTEM, data=credentials)


def test_where_all_is_well_each_check_says_so(kubectl: Kubectl) -> None:
    assert kubectl.piavpn("doctor") == cli_world.Said(0, ALL_WELL)


def found(kubectl: Kubectl, *arguments: str) -> list[dict[str, str]]:
    """Return what is not well."""
    said = kubectl.piavpn("doctor", *arguments, "-o", "json")
    findings: list[dict[str, str]] = json.loads(said.out)
    not_well = [each for each in findings if each["level"] != "ok"]
    assert all(each["todo"] for each in not_well)
    assert said.code == (1 if any(each["level"] == "fail" for each in not_well) else 0)
    return not_well


def only(kubectl: Kubectl) -> dict[str, str]:
    (finding,) = found(kubectl)
    return finding


def test_a_secret_without_a_key_is_a_failure_and_nothing_of_it_is_shown(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    api.put(kube.SECRETS, "pia-credentials", SYSTEM, data={"password": None})

    assert only(kubectl) == {
        "level": "fail",
        "check": "credentials of home",
        "said": "Secret pia-credentials has no password",
        "todo": "kubectl create secret generic pia-credentials -n piavpn-system "
        "--from-literal=username=... --from-literal=password=... "
        "--dry-run=client -o yaml | kubectl apply --server-side --force-conflicts -f -",
    }
    assert "cDEyMzQ1Njc" not in kubectl.piavpn("doctor").out


def test_a_secret_that_is_not_there_is_a_failure(api: kube_server.Api, kubectl: Kubectl) -> None:
    api.remove(kube.SECRETS, "pia-credentials", SYSTEM)
    said = only(kubectl)["said"]
    assert said == "there is no Secret pia-credentials in namespace piavpn-system"


@pytest.mark.parametrize(
    ("level", "worse", "said"),
    [
        (None, "warn", "the namespace has no label pod-security.kubernetes.io/enforce: "),
        ("baseline", "fail", "baseline: no node agent and no gateway is let in"),
    ],
)
def test_the_operator_s_namespace_must_let_node_agents_in(
    api: kube_server.Api, kubectl: Kubectl, level: str | None, worse: str, said: str
) -> None:
    api.put(
        kube.NAMESPACES, SYSTEM, metadata={"labels": {"pod-security.kubernetes.io/enforce": level}}
    )
    finding = only(kubectl)
    assert (finding["level"], finding["check"]) == (worse, "Pod Security of piavpn-system")
    assert finding["said"].startswith(said)
    assert finding["todo"] == (
        "kubectl label namespace piavpn-system --overwrite "
        "pod-security.kubernetes.io/enforce=privileged"
    )


def test_an_app_that_does_not_fit_into_a_restricted_namespace_is_named(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.put(kube.NAMESPACES, "media", metadata={"labels": restricted})
    finding = only(kubectl)
    assert finding["said"] == "restricted, and no securityContext.runAsNonRoot in web"


def test_an_agent_that_does_not_renew_its_lease_is_a_failure(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    put_lease(api, age=100)
    finding = only(kubectl)
    assert finding["check"] == "node agent of worker"
    assert finding["said"] in {
        f"silent for {seconds} s: locks hold, nobody vouches for it" for seconds in range(100, 110)
    }
    assert finding["todo"] == "kubectl logs -n piavpn-system piavpn-node-agent-x"


def test_a_node_with_apps_and_without_agent_is_a_failure(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    api.remove(kube.PODS, "piavpn-node-agent-x", SYSTEM)
    said = only(kubectl)["said"]
    assert said == "there is none: nobody attaches, tests and watches the pods there"


@pytest.mark.parametrize(
    ("facts", "level", "check", "said"),
    [
        ({"nftables": False}, "fail", "kernel of worker", "6.12.0 has no nf_tables"),
        ({"wireguard": "none"}, "fail", "kernel of worker", "6.12.0 has neither WireGuard nor"),
        ({"wireguard": "userspace"}, "warn", "kernel of worker", "wireguard-go is used"),
        ({"cilium": True}, "warn", "leak layers of worker", "may be idle under Cilium"),
        ({"rawFramesUnseen": 1}, "warn", "leak layers of worker", "does not see 1 of 1 apps"),
        ({"kernel": None}, "warn", "node worker", "its agent tells nothing of it"),
    ],
)
def test_what_a_node_lacks_is_told(  # noqa: PLR0913, PLR0917 - columns of the table above
    api: kube_server.Api,
    kubectl: Kubectl,
    facts: dict[str, Any],
    level: str,
    check: str,
    said: str,
) -> None:
    put_lease(api, **facts)
    finding = only(kubectl)
    assert (finding["level"], finding["check"]) == (level, check)
    assert said in finding["said"]


def test_a_subnet_that_overlaps_the_cluster_is_a_failure(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    api.put(kube.SERVICE_CIDRS, "second", spec={"cidrs": ["10.100.0.0/16"]})
    finding = only(kubectl)
    assert finding["check"] == "networks of home"
    assert finding["said"] == "its subnet 10.100.0.0/24 overlaps the ServiceCIDR 10.100.0.0/16"


def test_a_bypass_into_the_cluster_s_own_networks_is_told(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    cli_world.put_vpn(api, spec={"bypassCIDRs": ["10.0.0.0/9"]})
    first = found(kubectl)[0]
    assert (first["level"], first["check"]) == ("warn", "networks of home")
    assert first["said"] == (
        "its bypass 10.0.0.0/9 overlaps the ServiceCIDR 10.96.0.0/16, which is reached anyway"
    )


def test_pods_in_a_network_of_the_cni_plugin_s_own_are_noticed(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    api.put(kube.PODS, "web-0", "media", status={"podIP": "192.168.77.3"})
    finding = only(kubectl)
    assert finding["said"] == (
        "pod web-0 has 192.168.77.3, which is in no network of the cluster that the operator knows"
    )
    assert "PIAVPN_CLUSTER_CIDRS" in finding["todo"]


def test_rights_that_a_program_lacks_are_named(api: kube_server.Api, kubectl: Kubectl) -> None:
    def review(spec: dict[str, Any]) -> bool:
        asked = spec["resourceAttributes"]
        gateway = spec.get("user") == "system:serviceaccount:piavpn-system:piavpn-gateway"
        return not (gateway and asked.get("subresource") == "status")

    api.review = review
    finding = only(kubectl)
    assert (finding["check"], finding["todo"]) == (
        "rights of piavpn-gateway",
        "kubectl apply -k manifests/base again",
    )
    assert finding["said"] == "it may not patch piavpns.piavpn.dev/status in all namespaces"


def test_what_the_user_may_not_do_is_no_failure(api: kube_server.Api, kubectl: Kubectl) -> None:
    api.review = lambda spec: spec["resourceAttributes"].get("subresource") != "exec"
    assert only(kubectl) == {
        "level": "warn",
        "check": "your own rights",
        "said": "you may not create pods/exec",
        "todo": "ask the cluster's admin for it, for kubectl piavpn capture",
    }


def test_what_may_not_be_read_is_told_and_the_rest_is_checked(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    api.allowed = lambda call: call.resource not in {"secrets", "subjectaccessreviews"}
    not_well = found(kubectl)
    assert {each["level"] for each in not_well} == {"warn"}
    assert [each["check"] for each in not_well] == [
        "Secret pia-credentials",
        "rights of piavpn-operator",
        "rights of piavpn-node-agent",
        "rights of piavpn-gateway",
    ]
    assert not_well[0]["said"].startswith("not looked at: GET /api/v1/namespaces/piavpn-system")


def test_an_older_cluster_and_older_crds_are_told(api: kube_server.Api, kubectl: Kubectl) -> None:
    api.version = "v1.30.2"
    name = "piavpns.piavpn.dev"
    spec = api.get(doctor_seen.DEFINITIONS, name)["spec"]
    del spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["dns"]
    api.put(doctor_seen.DEFINITIONS, name, spec=spec)
    older, crd = found(kubectl)
    assert (older["said"], older["todo"]) == ("it is v1.30.2", "upgrade it to 1.31 or newer")
    assert crd["said"] == "older than this plugin: it has no spec.dns"


@pytest.mark.parametrize(
    ("kinds", "todo"),
    [
        (doctor_seen.VALIDATING, "kubectl apply -k manifests/base"),
        (
            doctor_seen.MUTATING,
            "kubectl apply -k manifests/mutating, if there are to be pods by label alone",
        ),
    ],
)
def test_an_admission_policy_that_is_not_there_or_not_bound_is_told(
    api: kube_server.Api, kubectl: Kubectl, kinds: tuple[kube.Kind, ...], todo: str
) -> None:
    name, (policy, binding) = POLICIES[kinds], kinds
    for kind in (binding, policy):
        api.remove(kind, name)
        finding = only(kubectl)
        assert (finding["level"], finding["check"]) == ("warn", f"policy {name}")
        assert finding["said"].startswith(f"there is no {kind.kind} {name}: ")
        assert finding["todo"] == todo


def test_before_kubernetes_1_36_no_mutating_policy_is_asked_for(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    api.version = "v1.35.9"
    for kind in doctor_seen.MUTATING:
        api.remove(kind, POLICIES[doctor_seen.MUTATING])
    assert found(kubectl) == []
    assert not {"mutatingadmissionpolicies"} & {call.resource for call in api.calls}


def test_policies_that_may_not_be_read_are_told_as_such(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    api.allowed = lambda call: call.group != "admissionregistration.k8s.io"
    finding = only(kubectl)
    assert (finding["level"], finding["check"]) == ("warn", "admission policies")
    assert finding["said"].startswith("not looked at: GET /apis/admissionregistration.k8s.io/v1/")


def test_the_manifests_have_the_policies_that_the_doctor_looks_for() -> None:
    for folder, kinds in (("base", doctor_seen.VALIDATING), ("mutating", doctor_seen.MUTATING)):
        there = {
            (body["apiVersion"], body["kind"], body["metadata"]["name"])
            for file in (crd_schema.ROOT / "manifests" / folder).glob("*.yaml")
            for body in yaml.safe_load_all(file.read_text())
            if "metadata" in body
        }
        wanted = {(kind.api_version, kind.kind, POLICIES[kinds]) for kind in kinds}
        assert wanted <= there


def test_parts_of_another_image_are_named_with_the_command_that_moves_them(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    old = [{"name": "gateway", "image": "piavpn:0.0.9"}]
    spec = {"nodeName": "worker", "containers": old}
    api.put(kube.PODS, "piavpn-gateway-home-0", SYSTEM, spec=spec)
    assert only(kubectl) == {
        "level": "warn",
        "check": "images",
        "said": "of another image than piavpn:0.1.0: piavpn-system/piavpn-gateway-home-0",
        "todo": "kubectl piavpn upgrade",
    }


def test_an_operator_that_does_not_run_is_a_failure(api: kube_server.Api, kubectl: Kubectl) -> None:
    api.put(doctor_seen.DEPLOYMENTS, "piavpn-operator", SYSTEM, status={"readyReplicas": None})
    assert only(kubectl)["said"] == "it does not run"
    api.remove(doctor_seen.DEPLOYMENTS, "piavpn-operator", SYSTEM)
    assert "--operator-namespace" in only(kubectl)["todo"]


def test_what_keeps_an_app_from_ready_is_repeated(api: kube_server.Api, kubectl: Kubectl) -> None:
    lacks = cli_world.condition("Ready", "False", "PodNotReady", "no such image")
    cli_world.put_app(api, conditions=[lacks])
    finding = only(kubectl)
    assert (finding["check"], finding["said"]) == ("vpnapp media/web", "PodNotReady: no such image")


def test_one_vpn_is_looked_at_alone(api: kube_server.Api, kubectl: Kubectl) -> None:
    cli_world.put_vpn(api, "away", spec={"credentialsSecretRef": {"name": "none"}})
    assert found(kubectl, "home") == []
    assert [each["check"] for each in found(kubectl, "away")] == ["credentials of away"]
    assert kubectl.piavpn("doctor", "hone").err == (
        "error: there is no PiaVpn 'hone': did you mean home?\n"
    )


def test_the_manifests_grant_what_the_doctor_asks_for() -> None:
    for account, rights in doctor_rights.OF_PROGRAMS.items():
        for right in rights:
            scopes = ["ClusterRole"] if right.everywhere else ["ClusterRole", "Role"]
            asked = right.attributes(SYSTEM)
            resource = "/".join(asked[key] for key in ("resource", "subresource") if key in asked)
            granted = [
                test_manifests.GRANTS[account, scope].get((asked.get("group", ""), resource), set())
                for scope in scopes
            ]
            assert any(right.verb in verbs for verbs in granted), (account, str(right))
