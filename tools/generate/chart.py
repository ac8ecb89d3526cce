"""The Helm chart, rendered from what kustomize makes of the manifests.

`charts/pia-vpn-operator` holds what is written by hand; each object becomes a template of its own,
with a value in place of what a user of the chart may set.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "charts/pia-vpn-operator"
NAMESPACE = "piavpn-system"

_SERVED = '.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"'
SECTIONS: dict[str, str | None] = {
    "base": None,
    "mutating": _SERVED,
    "monitoring": ".Values.monitoring.configMaps",
    "monitoring/prometheus-operator": ".Values.monitoring.prometheusOperator",
}
"""Kustomizations in manifests/, each with what turns it on; None: always there."""

WORKLOADS = {
    ("Deployment", "piavpn-operator"): "operator",
    ("DaemonSet", "piavpn-node-agent"): "nodeAgent",
}
"""Pods of ours with values of their own, and the names of these."""

PLACEMENT = ("nodeSelector", "tolerations")
VARIABLES = {"PIAVPN_LOG_FORMAT": "logFormat"}
"""Variables of these pods, and the names of their values."""

Object = dict[str, Any]


def render(folder: Path, repository: str | None) -> None:
    """Write the chart into a new folder.

    Args:
        folder: where; what is there is replaced.
        repository: the image's default name; None: as values.yaml has it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SOURCE, folder)
    (folder / "RENDERED").write_text("from manifests/ and crds/, by tools/helm-chart\n")
    if repository is not None:
        values = folder / "values.yaml"
        values.write_text(
            values.read_text().replace("  repository: piavpn\n", f"  repository: {repository}\n")
        )
    for section, switch in SECTIONS.items():
        for body in objects(section):
            if body["kind"] == "Namespace":  # the release's own, which Helm makes or finds
                continue
            name = re.sub(r"[^a-z0-9]+", "-", f"{body['kind']}-{body['metadata']['name']}".lower())
            (folder / "templates" / f"{name}.yaml").write_text(template(body, switch))


def objects(section: str) -> Iterator[Object]:
    """Yield what kustomize makes of manifests/<section>.

    Raises:
        subprocess.CalledProcessError: it cannot be built.
    """
    command = ["kubectl", "kustomize", str(ROOT / "manifests" / section)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    yield from yaml.safe_load_all(run.stdout)


def template(body: Object, switch: str | None) -> str:
    """Return the object as a template; its image, namespace and tunables are the release's."""
    _put_values(body)
    text = yaml.safe_dump(body, sort_keys=False, width=2**20)
    text = text.replace("{{", '{{ "{{" }}')
    text = text.replace(_image(), '{{ include "piavpn.image" . }}')
    text = text.replace(NAMESPACE, "{{ .Release.Namespace }}")
    text = re.sub(r"'@value (.+)'", r"{{ \1 }}", text)
    text = re.sub(r"^( *)'@field (\w+) (.+)': null$", _FIELD, text, flags=re.MULTILINE)
    text = re.sub(r"^( *)- '@env (\w+) (\S+) (.+)'$", _ENV, text, flags=re.MULTILINE)
    return text if switch is None else f"{{{{- if {switch} }}}}\n{text}{{{{- end }}}}\n"


_FIELD = r"""\1{{- with \3 }}
\1\2: {{ toJson . }}
\1{{- end }}"""
"""A field that is there where its value is not empty."""

_ENV = r"""\1{{- with \3 }}
\1- name: \2
\1  value: {{ \4 }}
\1{{- end }}"""
"""A variable that is there where its value is not empty."""


def _put_values(body: Object) -> None:
    if body["kind"] == "CustomResourceDefinition":
        # Else an uninstall would delete every tunnel and app, and an upgrade can still change it.
        body["metadata"].setdefault("annotations", {})["helm.sh/resource-policy"] = "keep"
    if body["apiVersion"].startswith("monitoring.coreos.com/"):
        # By which a Prometheus chooses what it takes.
        body["metadata"]["@field labels .Values.monitoring.labels"] = None
    part = WORKLOADS.get((body["kind"], body["metadata"]["name"]))
    if part is not None:
        spec = body["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        container["resources"] = f"@value toJson .Values.{part}.resources"
        for variable in container["env"]:
            if variable["name"] in VARIABLES:
                variable["value"] = f"@value .Values.{VARIABLES[variable['name']]} | quote"
        container["env"].append('@env PIAVPN_CLUSTER_CIDRS .Values.clusterCIDRs join "," . | quote')
        for field in PLACEMENT:
            spec.pop(field, None)
            spec[f"@field {field} .Values.{part}.{field}"] = None


def _image() -> str:
    kustomization = yaml.safe_load((ROOT / "manifests/base/kustomization.yaml").read_text())
    (image,) = kustomization["images"]
    return f"{image.get('newName', image['name'])}:{image['newTag']}"


def main() -> None:
    """Render the chart as the command line says."""
    parser = argparse.ArgumentParser(prog="tools/helm-chart", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the chart is to be; replaced")
    parser.add_argument("--repository", help="default name of the image, without a tag")
    options = parser.parse_args()
    render(options.folder, options.repository)


if __name__ == "__main__":
    main()
