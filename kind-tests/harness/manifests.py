"""Objects of the tests, written as a user would."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import pytest

Object = dict[str, Any]

SYSTEM = "piavpn-system"
API_VERSION = "piavpn.dev/v1alpha1"
USERNAME, PASSWORD = "p1234567", "correct horse"
DEDICATED_IP_TOKEN = "DIP20261123"


def namespace(name: str) -> Object:
    """Return a namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def credentials(name: str, *, username: str = USERNAME, password: str = PASSWORD) -> Object:
    """Return a Secret with an account, the stand-in's unless told otherwise."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": SYSTEM},
        "stringData": {"username": username, "password": password},
    }


def dedicated_ip_token(name: str) -> Object:
    """Return a Secret with the token of the stand-in's dedicated IP."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{name}-dedicated-ip", "namespace": SYSTEM},
        "stringData": {"token": DEDICATED_IP_TOKEN},
    }


def require_stand_in() -> None:
    """Skip the test where there is no stand-in PIA: it stands on our own cluster's network."""
    if "PIAVPN_KUBECONFIG" in os.environ:
        pytest.skip("PIAVPN_KUBECONFIG is set: the stand-in PIA is beside our own cluster alone")


def endpoints() -> Object:
    """Return the stand-in's `spec.endpoints`, as kind-tests/fakepia/up wrote them."""
    require_stand_in()
    found: Object = json.loads(
        pathlib.Path(os.environ["CLUSTER_STATE"], "fakepia/endpoints.json").read_text()
    )
    return found


def pia_vpn(name: str, *, secret: str, location: str = "swiss", **spec: Any) -> Object:
    """Return a PiaVpn at the stand-in."""
    return {
        "apiVersion": API_VERSION,
        "kind": "PiaVpn",
        "metadata": {"name": name},
        "spec": {
            "credentialsSecretRef": {"name": secret},
            "serverLocation": location,
            "endpoints": endpoints(),
            **spec,
        },
    }


def app(name: str, namespace_: str, vpn: str, **spec: Any) -> Object:
    """Return an app that has Python to try things with: it runs the product's own image."""
    return {
        "apiVersion": API_VERSION,
        "kind": "VpnServiceContainer",
        "metadata": {"name": name, "namespace": namespace_},
        "spec": {
            "vpnRef": {"name": vpn},
            "image": os.environ["PIAVPN_IMAGE"],
            "command": list(_IDLE),
            **spec,
        },
    }


def ordinary_pod(name: str, namespace_: str, node: str | None = None) -> Object:
    """Return a pod like an app's, but not confined: the control of every leak test."""
    spec: Object = {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {"name": "app", "image": os.environ["PIAVPN_IMAGE"], "command": list(_IDLE)}
        ],
    }
    if node is not None:
        spec["nodeName"] = node
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace_},
        "spec": spec,
    }


# Ends at once when told to: a container's first process gets no signal that it does not handle.
_IDLE = (
    "python3",
    "-c",
    "import signal; signal.signal(signal.SIGTERM, lambda *_: exit()); signal.pause()",
)
