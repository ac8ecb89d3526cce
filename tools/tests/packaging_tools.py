"""The programs that the tests run, and what they print."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]

Object = dict[str, Any]
Key = tuple[str, str, str]


def run(*command: str, given: str = "") -> str:
    """Run a program that must succeed; its errors are the test's."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refusal(*command: str) -> str:
    """Run a program that must fail, and return what it says."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


def by_name(text: str) -> dict[Key, Object]:
    """Return the manifests of a stream by kind, namespace and name; none may be there twice."""
    bodies = [body for body in yaml.safe_load_all(text) if body is not None]
    found = {
        (body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"]): body
        for body in bodies
    }
    assert len(found) == len(bodies)
    return found


def kustomized(section: str) -> dict[Key, Object]:
    """Return what kustomize makes of manifests/<section>."""
    return by_name(run("kubectl", "kustomize", str(ROOT / "manifests" / section)))


def templated(chart: Path, *options: str) -> dict[Key, Object]:
    """Return what Helm makes of the chart in our usual namespace."""
    return by_name(
        run("helm", "template", "piavpn", str(chart), "--namespace", "piavpn-system", *options)
    )


def health(*objects: Object) -> list[dict[str, str]]:
    """Return what kstatus and our health check for Argo CD say of each object."""
    data = yaml.safe_load((ROOT / "manifests/argocd/health.yaml").read_text())["data"]
    answers = []
    for body in objects:
        script = data[f"resource.customizations.health.piavpn.dev_{body['kind']}"]
        listed = {"apiVersion": "v1", "kind": "List", "items": [body]}
        (answer,) = json.loads(run("health", script, given=json.dumps(listed)))
        answers.append(answer)
    return answers
