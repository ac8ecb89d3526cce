"""A cluster for `kubectl piavpn`: one tunnel that works, and the command line against it."""

from __future__ import annotations

import dataclasses
import io
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kube_server
import pytest
from kube_calls import Call

from piavpn import kube
from piavpn.cli import main
from piavpn.cli.output import Output

SYSTEM = "piavpn-system"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SUBNET = {
    "subnet": "10.100.0.0/24",
    "bridge": "br-home",
    "hostAddress": "10.100.0.1",
    "gatewayAddress": "10.100.0.2",
}
SESSION = {
    "region": "swiss",
    "server": "zurich401",
    "serverAddress": "198.18.11.1",
    "link": "piaw0",
    "peerAddress": "10.5.1.7",
    "publicKey": "b3VyIHB1YmxpYyBrZXkgaGFzIDMyIGJ5dGVzIHRvby4=",
    "registeredTime": "2026-11-23T10:00:00Z",
    "renewTime": "2026-12-23T10:00:00Z",
}


@dataclasses.dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str = ""


@dataclasses.dataclass(frozen=True)
class Kubectl:
    """The plugin, with a kubeconfig that leads to the server of the test."""

    kubeconfig: Path

    def piavpn(self, *arguments: str) -> Said:
        out, err = io.StringIO(), io.StringIO()
        code = main.run(
            [*arguments, "--kubeconfig", str(self.kubeconfig)], Output(out, err, clock=lambda: NOW)
        )
        return Said(code, out.getvalue(), err.getvalue())


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as api:
        yield api


@pytest.fixture
def kubectl(api: kube_server.Api, tmp_path: Path) -> Kubectl:
    return Kubectl(kubeconfig(tmp_path, api.url))


def kubeconfig(folder: Path, server: str) -> Path:
    """Write a kubeconfig, which is JSON as much as YAML."""
    context = {"cluster": "here", "user": "owner", "namespace": "media"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "owner", "user": {}}],
        "contexts": [{"name": "here", "context": context}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content))
    return path


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-23T10:00:05Z",
    }


def put_vpn(
    api: kube_server.Api,
    name: str = "home",
    *,
    spec: dict[str, Any] | None = None,
    **status: Any,
) -> None:
    """Make a PiaVpn whose tunnel works, but for what `spec` and `status` say."""
    working = {
        "network": SUBNET,
        "session": SESSION,
        "exitAddress": "198.18.11.1",
        "services": 1,
        "nodeName": "worker",
        "conditions": [
            condition("Accepted", "True", "Accepted"),
            condition("TunnelUp", "True", "ServerAnswers"),
            condition("Ready", "True", "Ready", "through zurich401 (198.18.11.1) in swiss"),
        ],
    }
    wanted = {
        "credentialsSecretRef": {"name": "pia-credentials"},
        "serverLocation": "swiss",
        "fallbackLocations": ["nl_amsterdam", "de-frankfurt"],
    }
    api.put(kube.PIA_VPNS, name, spec=wanted | (spec or {}), status=working | status)


def put_app(
    api: kube_server.Api,
    name: str = "web",
    namespace: str = "media",
    *,
    spec: dict[str, Any] | None = None,
    **status: Any,
) -> None:
    """Make a VpnServiceContainer that works, but for what `spec` and `status` say."""
    working = {
        "address": "10.100.0.10",
        "conditions": [
            condition("Accepted", "True", "Accepted"),
            condition("Confined", "True", "Attached"),
            condition("LeakFree", "True", "NothingLeaked"),
            condition("Ready", "True", "Ready"),
        ],
    }
    api.put(
        kube.VPN_SERVICE_CONTAINERS,
        name,
        namespace,
        spec={"vpnRef": {"name": "home"}, "image": "busybox"} | (spec or {}),
        status=working | status,
    )


def put_pod(
    api: kube_server.Api,
    name: str = "web-0",
    namespace: str = "media",
    labels: dict[str, str] | None = None,
    **status: Any,
) -> None:
    """Make the pod of an app that runs, but for what `status` says."""
    running = {
        "phase": "Running",
        "initContainerStatuses": [{"name": "piavpn-gate", "containerID": "containerd://1"}],
        "containerStatuses": [{"name": "app", "containerID": "containerd://2", "restartCount": 0}],
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T10:00:05Z"},
            condition("piavpn.dev/Confined", "True", "Attached"),
        ],
    }
    labels = labels or {"piavpn.dev/vpn": "home", "piavpn.dev/service": "web"}
    api.put(
        kube.PODS,
        name,
        namespace,
        metadata={"labels": labels},
        spec={"nodeName": "worker"},
        status=running | status,
    )


def put_labelled_pod(
    api: kube_server.Api, name: str = "crawler-x", namespace: str = "office", **status: Any
) -> None:
    """Make a pod of a user's own behind the tunnel, confined but for what `status` says."""
    put_pod(api, name, namespace, {"piavpn.dev/vpn": "home"}, **status)
    address = {"piavpn.dev/address": "10.100.0.11"}
    api.put(kube.PODS, name, namespace, metadata={"annotations": address})


def on_patch(api: kube_server.Api, resource: str, then: Callable[[], None]) -> None:
    """Do as other programs do, as soon as somebody patches such an object."""

    def react(call: Call) -> None:
        if (call.verb, call.resource) == ("patch", resource):
            # Once the server has answered: it lets one in after the other.
            threading.Thread(target=then).start()

    api.fault = react
