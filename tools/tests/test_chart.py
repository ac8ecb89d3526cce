"""The Helm chart installs what kustomize does, and each of its values acts where it says."""

from __future__ import annotations

from pathlib import Path

import packaging_tools as tools
import pytest
import yaml
from packaging_tools import ROOT, Object

OPERATOR = ("Deployment", "piavpn-system", "piavpn-operator")
AGENT = ("DaemonSet", "piavpn-system", "piavpn-node-agent")
NETWORKS = ["10.42.0.0/16", "10.43.0.0/16"]


def pod(body: Object) -> Object:
    spec: Object = body["spec"]["template"]["spec"]
    return spec


def container(body: Object) -> Object:
    (only,) = pod(body)["containers"]
    return dict(only)


def test_helm_and_kustomize_install_the_same_objects(chart: Path) -> None:
    wanted = {key: body for key, body in tools.kustomized("base").items() if key[0] != "Namespace"}
    for (kind, _, _), body in wanted.items():
        if kind == "CustomResourceDefinition":
            keep = {"helm.sh/resource-policy": "keep"}
            body["metadata"]["annotations"] = body["metadata"].get("annotations", {}) | keep
    assert tools.templated(chart) == wanted
    assert {OPERATOR, AGENT} <= set(wanted)


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("monitoring", "monitoring.configMaps"),
        ("monitoring/prometheus-operator", "monitoring.prometheusOperator"),
    ],
)
def test_what_is_optional_is_added_by_its_value_alone(
    chart: Path, section: str, value: str
) -> None:
    always, added = tools.templated(chart), tools.kustomized(section)
    assert added
    assert tools.templated(chart, "--set", f"{value}=true") == always | added


def test_what_a_prometheus_selects_by_is_on_all_that_it_should_take(chart: Path) -> None:
    labels = ["--set", "monitoring.prometheusOperator=true,monitoring.labels.release=prometheus"]
    found = tools.templated(chart, *labels)
    chosen = {kind for (kind, _, _), body in found.items() if "release" in labels_of(body)}
    assert chosen == {"PodMonitor", "PrometheusRule"}


def labels_of(body: Object) -> Object:
    return dict(body["metadata"].get("labels", {}))


def test_pods_are_confined_by_label_where_the_cluster_knows_such_policies(chart: Path) -> None:
    known = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
    found = tools.templated(chart, "--api-versions", known)
    added = {key: body for key, body in found.items() if key[0].startswith("Mutating")}
    assert added == tools.kustomized("mutating")


def test_helm_finds_nothing_wrong_with_the_chart(chart: Path) -> None:
    assert "0 chart(s) failed" in tools.run("helm", "lint", "--strict", str(chart))


def test_everything_is_in_the_release_s_namespace(chart: Path) -> None:
    text = tools.run("helm", "template", "piavpn", str(chart), "--namespace", "tunnels")
    assert "piavpn-system" not in text
    found = tools.by_name(text)
    assert {namespace for _, namespace, _ in found} == {"", "tunnels"}
    binding = found["ClusterRoleBinding", "", "piavpn-operator"]
    assert [subject["namespace"] for subject in binding["subjects"]] == ["tunnels"]


def test_the_image_is_the_one_named(chart: Path) -> None:
    named = ["--set", "image.repository=registry.lan/piavpn,image.tag=1.2.3"]
    found = tools.templated(chart, *named)
    assert container(found[OPERATOR])["image"] == "registry.lan/piavpn:1.2.3"
    assert container(found[AGENT])["image"] == "registry.lan/piavpn:1.2.3"


def test_a_released_chart_names_the_published_image(tmp_path: Path) -> None:
    folder = tmp_path / "released"
    command = [
        str(ROOT / "tools/helm-chart"),
        str(folder),
        "--repository",
        "ghcr.io/someone/piavpn",
    ]
    tools.run(*command)
    version = yaml.safe_load((folder / "Chart.yaml").read_text())["version"]
    image = container(tools.templated(folder)[OPERATOR])["image"]
    assert image == f"ghcr.io/someone/piavpn:{version}"


@pytest.mark.parametrize("workload", [OPERATOR, AGENT], ids=lambda key: key[2])
def test_the_cluster_s_networks_are_told_to_operator_and_agents(
    chart: Path, workload: tools.Key
) -> None:
    values = ["--set-json", f"clusterCIDRs={NETWORKS}".replace("'", '"')]
    entry = {"name": "PIAVPN_CLUSTER_CIDRS", "value": "10.42.0.0/16,10.43.0.0/16"}
    assert entry in container(tools.templated(chart, *values)[workload])["env"]


@pytest.mark.parametrize("workload", [OPERATOR, AGENT], ids=lambda key: key[2])
def test_logs_are_of_the_format_named(chart: Path, workload: tools.Key) -> None:
    found = tools.templated(chart, "--set", "logFormat=json")[workload]
    assert {"name": "PIAVPN_LOG_FORMAT", "value": "json"} in container(found)["env"]


@pytest.mark.parametrize(("part", "workload"), [("operator", OPERATOR), ("nodeAgent", AGENT)])
def test_resources_and_placement_are_those_given(
    chart: Path, part: str, workload: tools.Key, tmp_path: Path
) -> None:
    given = {
        "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}},
        "nodeSelector": {"kubernetes.io/arch": "arm64"},
        "tolerations": [{"key": "vpn", "operator": "Exists"}],
    }
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({part: given}))
    found = tools.templated(chart, "--values", str(values))[workload]
    assert container(found)["resources"]["limits"]["memory"] == "1Gi"
    assert pod(found)["nodeSelector"] == given["nodeSelector"]
    assert pod(found)["tolerations"] == given["tolerations"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("operator.replicas=2", "additional properties 'replicas' not allowed"),
        ("clusterCIDRs={somewhere}", "'somewhere' does not match pattern"),
        ("logFormat=xml", "value must be one of 'text', 'json'"),
        ("image.repository=", "minLength: got 0, want 1"),
    ],
)
def test_a_value_that_means_nothing_is_refused(chart: Path, value: str, told: str) -> None:
    said = tools.refusal("helm", "template", "piavpn", str(chart), "--set", value)
    assert told in said


def test_the_chart_s_source_does_not_pass_for_the_chart() -> None:
    source = str(ROOT / "charts/pia-vpn-operator")
    assert "tools/helm-chart FOLDER" in tools.refusal("helm", "template", "piavpn", source)


def test_the_chart_s_version_is_the_package_s(chart: Path) -> None:
    project = (ROOT / "pyproject.toml").read_text()
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert f'version = "{about["version"]}"' in project
    assert about["appVersion"] == about["version"]


def test_whoever_installs_is_told_what_comes_next(chart: Path) -> None:
    command = ["helm", "install", "piavpn", str(chart), "--namespace", "tunnels"]
    said = tools.run(*command, "--dry-run=client")
    assert "kubectl create secret generic pia-credentials -n tunnels" in said
    assert "kubectl label namespace tunnels pod-security.kubernetes.io/enforce=privileged" in said
