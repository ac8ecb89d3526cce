"""Workloads whose pods are put behind a tunnel by their label alone."""

from __future__ import annotations

import os
from typing import Any

from harness import kubectl, manifests

RECEIVE = "piavpn.dev/receive-forwarded-port"
ACCEPTED, CONFINED = "piavpn.dev/Accepted", "piavpn.dev/Confined"


def container(name: str, *command: str, **more: Any) -> kubectl.Object:
    """Return a container with Python: it runs the product's own image, and idles by itself."""
    idle = manifests.ordinary_pod("idle", "default")["spec"]["containers"][0]["command"]
    image = os.environ["PIAVPN_IMAGE"]
    return {"name": name, "image": image, "command": list(command) or idle, **more}


def workload(
    kind: str,
    name: str,
    vpn: str,
    spec: kubectl.Object,
    annotations: dict[str, str] | None = None,
    **more: Any,
) -> kubectl.Object:
    """Return a controller of pods with the label, as a chart makes it, in the VPN's namespace.

    Args:
        kind: Deployment, StatefulSet or Job.
        name: its name, and the pods' label `app`.
        vpn: the PiaVpn's name.
        spec: the pods'.
        annotations: the pods'.
        more: of the controller's own spec.
    """
    own = {"app": name}
    is_job = kind == "Job"
    return {
        "apiVersion": "batch/v1" if is_job else "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": f"test-{vpn}"},
        "spec": {
            **({} if is_job else {"selector": {"matchLabels": own}}),
            **({"serviceName": name} if kind == "StatefulSet" else {}),
            "template": {
                "metadata": {
                    "labels": own | {"piavpn.dev/vpn": vpn},
                    "annotations": annotations or {},
                },
                "spec": {"terminationGracePeriodSeconds": 0, **spec},
            },
            **more,
        },
    }


def pods_of(workload_: kubectl.Object) -> list[kubectl.Object]:
    """Return the workload's pods."""
    metadata = workload_["metadata"]
    return kubectl.items("pods", "-n", metadata["namespace"], "-l", f"app={metadata['name']}")


def wait_for(workload_: kubectl.Object) -> None:
    """Wait until all pods of a Deployment or StatefulSet are ready."""
    metadata = workload_["metadata"]
    name = f"{workload_['kind'].lower()}/{metadata['name']}"
    kubectl.run(
        "rollout", "status", name, "-n", metadata["namespace"], "--timeout=240s", timeout=270
    )


def address_of(pod: kubectl.Object) -> str:
    """Return the pod's address on the bridge; empty while it has none."""
    return str((pod["metadata"].get("annotations") or {}).get("piavpn.dev/address", ""))
