"""A status that a stranger has written, as a restore tool does, comes back to its writers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kube_server
import pytest
from kube_server import Call, RefusalError

from piavpn import kube
from piavpn.kube import ownership

OPERATOR = {"manager": "piavpn-operator", "operation": "Apply", "subresource": "status"}
GATEWAY = {"manager": "piavpn-gateway", "operation": "Apply", "subresource": "status"}
USER = {"manager": "kubectl", "operation": "Update"}
RESTORED = {"manager": "velero-server", "operation": "Update", "subresource": "status"}


def owned_by(*entries: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": "7", "managedFields": list(entries)}}


def test_a_stranger_is_taken_out_and_nobody_else() -> None:
    assert ownership.without_strangers(owned_by(USER, OPERATOR, RESTORED, GATEWAY)) == {
        "metadata": {"resourceVersion": "7", "managedFields": [USER, OPERATOR, GATEWAY]}
    }


def test_a_status_that_a_stranger_alone_owns_is_nobodys_then() -> None:
    assert ownership.without_strangers(owned_by(RESTORED)) == {
        "metadata": {"resourceVersion": "7", "managedFields": [{}]}
    }


def test_where_only_our_programs_write_nothing_is_changed() -> None:
    assert ownership.without_strangers(owned_by(USER, OPERATOR, GATEWAY)) is None
    assert ownership.without_strangers({"metadata": {"resourceVersion": "7"}}) is None


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    """An API in which the PiaVpn `home` has a status, and refuses others' changes of it."""

    def conflict(call: Call) -> RefusalError | None:
        applied = call.resource == "piavpns/status" and "apply" in call.content
        owners = api.get(kube.PIA_VPNS, "home")["metadata"]["managedFields"] if applied else []
        strange = any(each.get("manager") in {"velero-server", "piavpn-gateway"} for each in owners)
        return RefusalError(409, "conflict") if strange else None

    with kube_server.serving() as api:
        api.fault = conflict
        yield api


def restored(api: kube_server.Api, *entries: dict[str, str]) -> dict[str, Any]:
    api.put(
        kube.PIA_VPNS, "home", metadata={"managedFields": list(entries)}, status={"services": 7}
    )
    return {"metadata": {"name": "home"}, "status": {"services": 1}}


def test_a_restored_status_is_written_all_the_same(api: kube_server.Api) -> None:
    wanted = restored(api, USER, RESTORED)
    assert api.cluster().apply_status(kube.PIA_VPNS, wanted, manager="piavpn-operator")
    assert api.get(kube.PIA_VPNS, "home")["status"] == {"services": 1}


def test_what_another_of_our_programs_owns_is_left_to_it(api: kube_server.Api) -> None:
    wanted = restored(api, GATEWAY)
    with pytest.raises(kube.KubeError, match="conflict"):
        api.cluster().apply_status(kube.PIA_VPNS, wanted, manager="piavpn-operator")
    assert api.get(kube.PIA_VPNS, "home")["status"] == {"services": 7}


def test_the_kubelets_part_of_a_pods_status_is_its_own(api: kube_server.Api) -> None:
    api.fault = lambda call: RefusalError(409, "conflict") if "apply" in call.content else None
    body = {"metadata": {"name": "web-0", "namespace": "media"}, "status": {}}
    with pytest.raises(kube.KubeError, match="conflict"):
        api.cluster().apply_status(kube.PODS, body, manager="piavpn-node-agent")
    assert [call.verb for call in api.calls] == ["patch"]
