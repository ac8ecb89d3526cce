"""Whose apps may use a tunnel: the namespaces that its PiaVpn selects."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controller_samples import IP, SUBNET, holding, seen, service, vpn
from controller_world import World, eventually, running

from piavpn import kube
from piavpn.api import codec
from piavpn.api.conditions import Status
from piavpn.api.selectors import LabelSelector
from piavpn.controller import decide, model

MEDIA = {"kubernetes.io/metadata.name": "media", "team": "home"}


def selector(**raw: Any) -> LabelSelector:
    return codec.decode(LabelSelector, raw)


def expression(key: str, operator: str, *values: str) -> dict[str, object]:
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"matchLabels": {"team": "home"}},
        {"matchExpressions": [expression("team", "In", "work", "home")]},
        {"matchExpressions": [expression("team", "NotIn", "work")]},
        {"matchExpressions": [expression("stage", "NotIn", "test")]},
        {"matchExpressions": [expression("team", "Exists")]},
        {"matchExpressions": [expression("stage", "DoesNotExist")]},
    ],
)
def test_a_selector_takes_a_namespace_with_such_labels(wanted: dict[str, Any]) -> None:
    assert selector(**wanted).matches(MEDIA)


@pytest.mark.parametrize(
    "wanted",
    [
        {"matchLabels": {"team": "work"}},
        {"matchLabels": {"team": "home", "stage": "test"}},
        {"matchExpressions": [expression("team", "In", "work")]},
        {"matchExpressions": [expression("stage", "In", "")]},
        {"matchExpressions": [expression("team", "NotIn", "home")]},
        {"matchExpressions": [expression("stage", "Exists")]},
        {"matchExpressions": [expression("team", "DoesNotExist")]},
        {
            "matchLabels": {"team": "home"},
            "matchExpressions": [expression("stage", "Exists")],
        },
    ],
)
def test_a_selector_leaves_a_namespace_whose_labels_lack_any_of_it(wanted: dict[str, Any]) -> None:
    assert not selector(**wanted).matches(MEDIA)


def allowing(**raw: Any) -> Any:
    allowed = vpn(status=holding(SUBNET))
    return dataclasses.replace(
        allowed, spec=dataclasses.replace(allowed.spec, allowed_namespaces=selector(**raw))
    )


def test_an_app_of_a_namespace_that_is_not_selected_is_refused_and_holds_no_address() -> None:
    app = service(address="10.100.0.10")
    (decided,) = decide.decide(
        seen(
            vpn=allowing(matchLabels={"team": "work"}),
            services=(app,),
            namespace_labels={"media": MEDIA},
        )
    ).services
    refusal = model.Verdict(
        Status.FALSE,
        "NamespaceNotAllowed",
        "spec.allowedNamespaces of PiaVpn home does not select namespace media: have the namespace "
        "labelled, or name another PiaVpn",
    )
    assert (decided.accepted, decided.ready, decided.address) == (refusal, refusal, None)


def test_one_of_a_namespace_that_is_selected_is_accepted() -> None:
    (decided,) = decide.decide(
        seen(
            vpn=allowing(matchLabels={"team": "home"}),
            services=(service(),),
            namespace_labels={"media": MEDIA},
        )
    ).services
    assert decided.accepted.holds
    assert decided.address == IP("10.100.0.10")


def test_a_stranger_s_wish_for_an_address_keeps_it_from_nobody() -> None:
    stranger = dataclasses.replace(service(ip="10.100.0.10", age=60), namespace="work")
    found = decide.decide(
        seen(
            vpn=allowing(matchLabels={"team": "home"}),
            services=(stranger, service(ip="10.100.0.10")),
            namespace_labels={"media": MEDIA, "work": {}},
        )
    ).services
    assert [decided.address for decided in found] == [None, IP("10.100.0.10")]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running(tmp_path) as world:
        world.api.put(kube.NAMESPACES, "media", metadata={"labels": {"team": "home"}})
        world.make_tunnel()
        world.make_app()
        yield world


def test_an_app_whose_namespace_is_selected_no_more_is_ended_and_comes_back(world: World) -> None:
    world.vpn(allowedNamespaces={"matchLabels": {"team": "work"}})
    world.pass_over()
    assert world.service_condition("Accepted") == ("False", "NamespaceNotAllowed")
    eventually(lambda: "web" not in world.names_of(kube.STATEFUL_SETS))
    world.api.put(kube.NAMESPACES, "media", metadata={"labels": {"team": "work"}})
    world.pass_over()
    assert world.service_condition("Accepted") == ("True", "Accepted")
    assert "web" in world.names_of(kube.STATEFUL_SETS)
