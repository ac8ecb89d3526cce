"""What the manifests grant, and to whom: as much as the programs use, and nothing more."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from controller_samples import CONFIG, IP, NETWORK, SETTINGS, service, vpn

from piavpn.controller import build_gateway, build_service

MANIFESTS = Path(__file__).parents[2] / "manifests"
BASE = MANIFESTS / "base"
KUSTOMIZATIONS = sorted(file.parent for file in MANIFESTS.rglob("kustomization.yaml"))
OPERATOR, AGENT, GATEWAY = "piavpn-operator", "piavpn-node-agent", "piavpn-gateway"
EVERYWHERE, OWN_NAMESPACE = "ClusterRole", "Role"
PIAVPN, APPS = "piavpn.dev", "apps"

# Who asks for it stands behind each entry: this is the table to change with the code.
GRANTS: dict[tuple[str, str], dict[tuple[str, str], set[str]]] = {
    (OPERATOR, EVERYWHERE): {
        (PIAVPN, "piavpns"): {"get", "list", "watch", "patch"},  # report; observe; handlers
        (PIAVPN, "vpnservicecontainers"): {"get", "list", "watch", "patch"},  # as above
        (PIAVPN, "piavpns/status"): {"patch"},  # report
        (PIAVPN, "vpnservicecontainers/status"): {"patch"},  # report
        # observe; handlers; apply
        (APPS, "statefulsets"): {"get", "list", "watch", "create", "patch", "delete"},
        ("", "persistentvolumeclaims"): {"list", "create", "patch"},  # made; apply
        # observe; watches; apply
        ("", "services"): {"get", "list", "watch", "create", "patch", "delete"},
        ("", "pods"): {"list", "watch", "patch", "delete"},  # observe; handlers; apply
        ("", "pods/status"): {"patch"},  # report
        ("", "events"): {"list", "create"},  # refusals; report
        ("", "namespaces"): {"list", "watch"},  # observe; handlers
        ("", "nodes"): {"list"},  # observe
        ("networking.k8s.io", "servicecidrs"): {"list"},  # observe
        # watches; apply
        ("networking.k8s.io", "networkpolicies"): {"list", "watch", "create", "patch", "delete"},
        ("apiextensions.k8s.io", "customresourcedefinitions"): {"list", "watch"},  # kopf
    },
    (OPERATOR, OWN_NAMESPACE): {
        # observe; main; errands; reconciler
        ("", "secrets"): {"get", "list", "watch", "create", "patch", "delete"},
        # observe; apply; keptlists; reconciler
        ("", "configmaps"): {"get", "list", "watch", "create", "patch", "delete"},
        ("", "pods"): {"get"},  # main
        ("coordination.k8s.io", "leases"): {"list"},  # leases
    },
    (AGENT, EVERYWHERE): {
        (PIAVPN, "piavpns"): {"list", "watch"},  # view
        (PIAVPN, "vpnservicecontainers"): {"list", "watch"},  # view
        ("", "pods"): {"list", "watch", "delete"},  # view; outbox
        ("", "pods/status"): {"patch"},  # report
        ("", "events"): {"create"},  # outbox
        ("", "nodes"): {"list", "watch"},  # view
        ("networking.k8s.io", "servicecidrs"): {"list", "watch"},  # view
    },
    (AGENT, OWN_NAMESPACE): {
        ("", "configmaps"): {"list", "watch", "create", "patch"},  # view; mesh
        ("coordination.k8s.io", "leases"): {"create", "patch"},  # lease
    },
    (GATEWAY, EVERYWHERE): {
        (PIAVPN, "piavpns"): {"get"},  # report
        (PIAVPN, "piavpns/status"): {"patch"},  # report
        ("", "events"): {"create"},  # report
    },
    (GATEWAY, OWN_NAMESPACE): {
        ("", "secrets/piavpn-ports"): {"patch"},  # portstore
    },
}

Manifest = dict[str, Any]


def manifests() -> list[Manifest]:
    resources = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    files = [BASE / name for name in resources if name.endswith(".yaml")]
    return [body for file in files for body in yaml.safe_load_all(file.read_text())]


def of_kind(*kinds: str) -> list[Manifest]:
    return [body for body in manifests() if body["kind"] in kinds]


def grants_of(role: Manifest) -> dict[tuple[str, str], set[str]]:
    granted: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        assert set(rule) - {"resourceNames"} == {"apiGroups", "resources", "verbs"}
        objects = [f"/{name}" for name in rule.get("resourceNames", [])] or [""]
        for group, name in itertools.product(rule["apiGroups"], objects):
            for resource in (each + name for each in rule["resources"]):
                granted.setdefault((group, resource), set()).update(rule["verbs"])
    return granted


def test_each_program_may_do_what_it_does_and_nothing_more() -> None:
    roles = of_kind("ClusterRole", "Role")
    found = {(role["metadata"]["name"], role["kind"]): grants_of(role) for role in roles}
    assert found == GRANTS


def test_each_role_is_bound_to_its_own_service_account_alone() -> None:
    bindings = of_kind("ClusterRoleBinding", "RoleBinding")
    bound = {(b["roleRef"]["name"], b["roleRef"]["kind"]): b["subjects"] for b in bindings}
    assert bound == {
        (name, kind): [{"kind": "ServiceAccount", "name": name, "namespace": "piavpn-system"}]
        for name, kind in GRANTS
    }
    for binding in bindings:
        assert binding["kind"] == binding["roleRef"]["kind"] + "Binding"


def pod_specs() -> dict[str, Manifest]:
    """Return every pod that we make: by manifest, and by the operator."""
    found = {
        body["metadata"]["name"]: body["spec"]["template"]["spec"]
        for body in of_kind("Deployment", "DaemonSet")
    }
    gateway = build_gateway.stateful_set(vpn(), SETTINGS)
    app = build_service.stateful_set(service(), IP("10.100.0.10"), NETWORK, SETTINGS)
    found["gateway"] = gateway["spec"]["template"]["spec"]
    found["app"] = app["spec"]["template"]["spec"]
    return found


def containers(spec: Manifest) -> list[Manifest]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def test_these_are_all_pods_that_we_make() -> None:
    assert set(pod_specs()) == {OPERATOR, AGENT, "gateway", "app"}


def test_the_node_agent_alone_is_privileged_or_shares_anything_with_its_node() -> None:
    special = {
        name
        for name, spec in pod_specs().items()
        if any(spec.get(share) for share in ("hostNetwork", "hostPID", "hostIPC"))
        or any(c["securityContext"].get("privileged") for c in containers(spec))
    }
    assert special == {AGENT}


def test_only_the_agent_and_the_gateway_mount_paths_of_the_node() -> None:
    mounted = {
        name: {v["hostPath"]["path"] for v in spec.get("volumes", []) if "hostPath" in v}
        for name, spec in pod_specs().items()
    }
    assert mounted == {
        OPERATOR: set(),
        AGENT: {"/run/piavpn", "/sys/fs/cgroup", "/lib/modules", "/run/xtables.lock"},
        "gateway": {"/run/piavpn/home/wireguard"},
        "app": set(),
    }


def test_the_operator_runs_without_any_privilege() -> None:
    spec = pod_specs()[OPERATOR]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65534,
        "runAsGroup": 65534,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (operator,) = spec["containers"]
    assert operator["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_there_is_never_more_than_one_operator() -> None:
    (deployment,) = of_kind("Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("name", [OPERATOR, AGENT])
def test_each_program_of_the_manifests_is_our_image_and_its_own_command(name: str) -> None:
    (container,) = pod_specs()[name]["containers"]
    assert container["image"] == "piavpn"
    assert container["args"] == [name.removeprefix("piavpn-")]


def test_the_image_gets_a_version_that_is_the_package_s() -> None:
    (image,) = yaml.safe_load((BASE / "kustomization.yaml").read_text())["images"]
    project = (MANIFESTS.parent / "pyproject.toml").read_text()
    assert image["name"] == "piavpn"
    assert f'version = "{image["newTag"]}"' in project


def test_no_pod_but_those_that_ask_the_api_gets_a_service_account() -> None:
    accounts = {name: spec.get("serviceAccountName") for name, spec in pod_specs().items()}
    assert accounts == {OPERATOR: OPERATOR, AGENT: AGENT, "gateway": GATEWAY, "app": None}
    assert pod_specs()["app"]["automountServiceAccountToken"] is False
    made = {body["metadata"]["name"] for body in of_kind("ServiceAccount")}
    assert made == {OPERATOR, AGENT, GATEWAY}


def test_no_secret_is_in_the_gateway_s_config_map() -> None:
    text = str(build_gateway.config_map(vpn(), CONFIG, "piavpn-system"))
    assert "token" not in text
    assert "password" not in text


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda path: path.name)
def test_every_kustomization_builds(folder: Path) -> None:
    run = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert all(body["kind"] for body in yaml.safe_load_all(run.stdout))
