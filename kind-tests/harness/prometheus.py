"""A Prometheus in the cluster, set up as docs/monitoring.md says, and what it answers.

Debian's is built without discovery by the Kubernetes API: what that would find is put into a file.
"""

from __future__ import annotations

import contextlib
import json
import math
import pathlib
import re
import subprocess
import urllib.parse
from collections.abc import Iterator
from typing import Any

import yaml

from harness import kubectl, manifests

IMAGE = "piavpn-prometheus:dev"
SCRAPE_SECONDS = 2
_NAME, _PORT, _TARGETS = "prometheus", 9090, "/tmp/targets.json"
_REPOSITORY = pathlib.Path(__file__).parents[2]

Labels = dict[str, str]


class Prometheus:
    """What is asked of it, through the API server."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._pod = f"/api/v1/namespaces/{namespace}/pods/{_NAME}:{_PORT}/proxy/api/v1"

    def discover(self) -> None:
        """Let it know the pods of the product that there are."""
        found = json.dumps(
            [
                _target(pod)
                for pod in kubectl.items("pods", "-n", manifests.SYSTEM)
                if pod["status"].get("podIP")
            ]
        )
        write = f'printf %s "$1" >{_TARGETS}.new && mv {_TARGETS}.new {_TARGETS}'
        kubectl.execute(_NAME, self._namespace, _NAME, "sh", "-c", write, "sh", found)

    def values(self, query: str) -> list[float]:
        """Return the values of all series that a query finds, but those that are no number."""
        told = self._ask("query", query=query)
        values = [float(series["value"][1]) for series in told["result"]]
        return [value for value in values if not math.isnan(value)]

    def firing(self) -> set[tuple[str, ...]]:
        """Return the alerts that fire: name, then the label values that tell of what."""
        told = self._ask("alerts")["alerts"]
        return {_of_what(alert["labels"]) for alert in told if alert["state"] == "firing"}

    def targets(self) -> dict[str, str]:
        """Return the health of each target by the name of its pod."""
        told = self._ask("targets", state="active")["activeTargets"]
        return {target["labels"]["pod"]: target["health"] for target in told}

    def types(self) -> dict[str, str]:
        """Return the types of all our metrics by their names."""
        told = self._ask("metadata").items()
        types = {name: metadata[0]["type"] for name, metadata in told if "piavpn_" in name}
        # OpenMetrics, which some parts are asked in, calls a counter by its name without the end.
        return {
            name.removesuffix("_total") + "_total" if kind == "counter" else name: kind
            for name, kind in types.items()
        }

    def _ask(self, what: str, **parameters: str) -> Any:
        asked = f"{self._pod}/{what}?{urllib.parse.urlencode(parameters)}"
        return json.loads(kubectl.run("get", "--raw", asked))["data"]


def _of_what(labels: Labels) -> tuple[str, ...]:
    wanted = ("alertname", "namespace", "service", "vpn", "node")
    return tuple(labels[name] for name in wanted if name in labels)


def _target(pod: kubectl.Object) -> dict[str, Any]:
    """Return what discovery by the Kubernetes API tells of a pod."""
    metadata, address = pod["metadata"], pod["status"]["podIP"]
    annotations = {
        f"__meta_kubernetes_pod_annotation_{re.sub(r'[^a-zA-Z0-9]', '_', name)}": value
        for name, value in (metadata.get("annotations") or {}).items()
    }
    own = {"__meta_kubernetes_pod_name": metadata["name"], "__meta_kubernetes_pod_ip": address}
    return {"targets": [address], "labels": own | annotations}


@contextlib.contextmanager
def running(namespace: str) -> Iterator[Prometheus]:
    """Run one in a namespace of its own. Its alerts do not wait: they are else as they ship."""
    subprocess.run([_REPOSITORY / "kind-tests/prometheus/load"], check=True, timeout=600)
    room, objects = manifests.namespace(namespace), _objects(namespace)
    try:
        kubectl.apply(room, *objects)
        kubectl.wait_for("pod", _NAME, "Ready", namespace)
        yield Prometheus(namespace)
    finally:
        kubectl.delete(*objects, room)


def _objects(namespace: str) -> list[kubectl.Object]:
    return [
        _object(
            "v1",
            "ConfigMap",
            {"name": "prometheus", "namespace": namespace},
            data={"prometheus.yml": yaml.safe_dump(_configuration())},
        ),
        _object(
            "v1",
            "ConfigMap",
            {"name": "piavpn-alert-rules", "namespace": namespace},
            data={"piavpn.yaml": yaml.safe_dump(_rules_without_patience())},
        ),
        _object("v1", "Pod", {"name": _NAME, "namespace": namespace}, spec=_pod_spec()),
    ]


def _object(version: str, kind: str, metadata: Labels, **rest: Any) -> kubectl.Object:
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def _configuration() -> dict[str, Any]:
    """Return what the documentation tells users to write, with short intervals."""
    guide = (_REPOSITORY / "docs/monitoring.md").read_text()
    (written,) = re.findall(r"^```yaml\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    seconds = f"{SCRAPE_SECONDS}s"
    intervals = {"scrape_interval": seconds, "scrape_timeout": seconds}
    configuration: dict[str, Any] = yaml.safe_load(written)
    (pods,) = configuration["scrape_configs"]
    del pods["kubernetes_sd_configs"]
    pods["file_sd_configs"] = [{"files": [_TARGETS]}]
    return {"global": {**intervals, "evaluation_interval": seconds}, **configuration}


def _rules_without_patience() -> dict[str, Any]:
    shipped = (_REPOSITORY / "manifests/monitoring/rules.yaml").read_text()
    rules: dict[str, Any] = yaml.safe_load(shipped)
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    return rules


def _pod_spec() -> kubectl.Object:
    mounts = {
        "prometheus": "/etc/prometheus-test",
        "piavpn-alert-rules": "/etc/piavpn-alert-rules",
    }
    return {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": _NAME,
                "image": IMAGE,
                "command": [
                    "prometheus",
                    "--config.file=/etc/prometheus-test/prometheus.yml",
                    "--storage.tsdb.path=/tmp/prometheus",
                ],
                "readinessProbe": {
                    "httpGet": {"path": "/-/ready", "port": _PORT},
                    "periodSeconds": 1,
                },
                "volumeMounts": [
                    {"name": name, "mountPath": path} for name, path in mounts.items()
                ],
            }
        ],
        "volumes": [{"name": name, "configMap": {"name": name}} for name in mounts],
    }
