"""What users install with, on a real cluster: Helm, and tools that wait for health."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Iterator

import packaging_tools
import pytest

from harness import kubectl, manifests, probes

ROOT = pathlib.Path(__file__).parents[1]
RELEASE, VPN = "piavpn", "installing"


@pytest.fixture(scope="module", autouse=True)
def _programs() -> Iterator[None]:
    """Have helm and the judge of health found."""
    command = [ROOT / "tools/packaging-programs"]
    folder = subprocess.run(command, check=True, timeout=900, capture_output=True, text=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", folder.stdout.strip(), prepend=os.pathsep)
        yield


def pods() -> dict[str, str]:
    """Return the operator's and the agents' pods, by UID."""
    listed = kubectl.items("pods", "-n", manifests.SYSTEM)
    return {
        pod["metadata"]["uid"]: pod["metadata"]["name"]
        for pod in listed
        if pod["metadata"]["name"].startswith(("piavpn-operator", "piavpn-node-agent"))
    }


def test_helm_installs_what_kustomize_did_and_no_pod_has_to_be_replaced(
    tmp_path: pathlib.Path,
) -> None:
    chart = str(tmp_path / "chart")
    repository, _, tag = os.environ["PIAVPN_IMAGE"].rpartition(":")
    packaging_tools.run(str(ROOT / "tools/helm-chart"), chart, "--repository", repository)
    before = pods()
    try:
        packaging_tools.run(
            "helm", "install", RELEASE, chart, "--namespace", manifests.SYSTEM,
            "--set", f"image.tag={tag}", "--take-ownership", "--force-conflicts",
            "--wait", "--timeout", "90s",
        )  # fmt: skip
        listed = packaging_tools.run("helm", "list", "-n", manifests.SYSTEM, "-o", "json")
        assert [release["status"] for release in json.loads(listed)] == ["deployed"]
        assert pods() == before
    finally:
        # Not by an uninstall: what it is made of goes on, as the other tests' operator.
        kubectl.run("delete", "secret", "-n", manifests.SYSTEM, "-l", f"owner=helm,name={RELEASE}")


def test_gitops_tools_see_an_object_s_health_from_its_first_moment(
    steady: probes.Tunnel,
) -> None:
    vpn = manifests.pia_vpn(VPN, secret=f"no-such-{VPN}")
    try:
        created = kubectl.run("create", "-f", "-", "-o", "json", stdin=json.dumps(vpn))
        (unseen,) = packaging_tools.health(json.loads(created))
        assert unseen == {
            "kstatus": "InProgress",
            "argocd": "Progressing",
            "message": "the operator has not seen it yet",
        }
        told = kubectl.wait_for_reason("piavpn", VPN, "Ready", "CredentialsNotFound")
        (lacking,) = packaging_tools.health(kubectl.get("piavpn", VPN) or {})
        assert lacking == {
            "kstatus": "InProgress",
            "argocd": "Degraded",
            "message": told["message"],
        }
        assert told["lastTransitionTime"] > "2020"
    finally:
        kubectl.delete(vpn)

    for kind, name, room in (
        ("piavpn", steady.vpn, None),
        ("vpnapp", steady.app.name.removesuffix("-0"), steady.app.namespace),
    ):
        (found,) = packaging_tools.health(kubectl.get(kind, name, room) or {})
        assert (found["kstatus"], found["argocd"]) == ("Current", "Healthy")
