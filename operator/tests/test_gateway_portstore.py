"""Where a forwarded port outlives the gateway's process and its pod."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import kube_server
import pytest
from controller_world import eventually

from piavpn import kube
from piavpn.gateway.portstore import Store
from piavpn.pia.portforward import SignedPort


def signed(port: int) -> SignedPort:
    document = {"token": "t", "port": port, "expires_at": "2027-01-24T06:07:08.123456789Z"}
    return SignedPort.of(base64.b64encode(json.dumps(document).encode()).decode(), "signature")


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as api:
        yield api


def store(api: kube_server.Api, pod: Path) -> Store:
    """Return the store of a gateway's process; the kubelet shows nothing of the Secret yet."""
    return Store(
        "home", "piavpn-system", state=pod, mounted=pod / "mounted.json", connect=api.cluster
    )


def in_secret(api: kube_server.Api) -> SignedPort | None:
    data = api.get(kube.SECRETS, "piavpn-ports", "piavpn-system").get("data") or {}
    if "home" not in data:
        return None
    content = json.loads(base64.b64decode(data["home"]))
    return SignedPort.of(content["payload"], content["signature"])


def test_a_port_is_kept_in_the_pod_and_in_the_secret(api: kube_server.Api, tmp_path: Path) -> None:
    api.put(kube.SECRETS, "piavpn-ports", "piavpn-system")
    kept = store(api, tmp_path)
    kept.start()
    kept.keep(signed(45678))
    eventually(lambda: in_secret(api) == signed(45678))
    assert store(api, tmp_path).load() == signed(45678)


def test_what_an_earlier_process_could_not_write_is_written_by_the_next_one(
    api: kube_server.Api, tmp_path: Path
) -> None:
    api.put(kube.SECRETS, "piavpn-ports", "piavpn-system")
    store(api, tmp_path).keep(signed(45678))  # and it ends before its thread came to the API
    assert in_secret(api) is None
    store(api, tmp_path).start()
    eventually(lambda: in_secret(api) == signed(45678))
