"""What is shipped for Prometheus and Grafana speaks of metrics that there are."""

from __future__ import annotations

import json
import re
from typing import Any

import metric_names
import pytest
import yaml
from crd_schema import ROOT

MONITORING = ROOT / "manifests/monitoring"
RULES: dict[str, Any] = yaml.safe_load((MONITORING / "rules.yaml").read_text())
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
CASES: dict[str, Any] = yaml.safe_load((ROOT / "operator/tests/alerts/alerts.yaml").read_text())
NAMES = [alert["alert"] for alert in ALERTS]
GUIDE = (ROOT / "docs/monitoring.md").read_text()


def metrics_in(query: str) -> set[str]:
    """Return our metrics in a query, a histogram's parts by the histogram's name."""
    return {
        re.sub(r"(?<=_seconds)_(bucket|count|sum)$", "", name)
        for name in re.findall(r"piavpn_\w+", query)
    }


def queries() -> dict[str, str]:
    """Return the dashboard's queries by the titles of their panels."""
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels
        for target in panel.get("targets", [])
    }


def test_both_files_of_alert_rules_are_the_same() -> None:
    for_operator = yaml.safe_load((MONITORING / "prometheus-operator/rules.yaml").read_text())
    assert for_operator["spec"] == RULES


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_every_alert_says_how_bad_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert (page, anchor) == ("docs/monitoring.md", alert["alert"].lower())
    assert f"\n### {alert['alert']}\n" in GUIDE


def test_every_alert_is_explained_and_no_other() -> None:
    assert re.findall(r"^### (PiaVpn\w+)$", GUIDE, re.MULTILINE) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_has_a_case_in_which_it_fires(name: str) -> None:
    """The other half, that it is silent, is in each case: it lists all that fire."""
    expected = [
        sample["labels"]
        for case in CASES["tests"]
        for tried in case.get("promql_expr_test", [])
        for sample in tried["exp_samples"]
    ]
    assert any(f'alertname="{name}"' in labels for labels in expected)


@pytest.mark.parametrize("query", [alert["expr"] for alert in ALERTS], ids=NAMES)
def test_alerts_ask_for_metrics_that_there_are(query: str) -> None:
    assert metrics_in(query) <= set(metric_names.served())


@pytest.mark.parametrize("query", queries().values(), ids=queries().keys())
def test_the_dashboard_asks_for_metrics_that_there_are(query: str) -> None:
    assert metrics_in(query) <= set(metric_names.served())


def test_pod_monitors_select_the_pods_and_ports_that_serve_metrics() -> None:
    text = (MONITORING / "prometheus-operator/pod-monitors.yaml").read_text()
    found = {
        monitor["metadata"]["name"]: (
            monitor["spec"]["selector"]["matchLabels"],
            monitor["spec"]["podMetricsEndpoints"],
        )
        for monitor in yaml.safe_load_all(text)
    }
    assert found == {
        name: (
            {"app.kubernetes.io/name": name},
            [{"port": port, "honorLabels": True}],
        )
        for name, port in {
            "piavpn-operator": "metrics",
            "piavpn-node-agent": "metrics",
            "piavpn-gateway": "health",
        }.items()
    }
