"""Flux, Helm and Argo CD see a tunnel's and an app's health as it is.

By kstatus itself, and by our health check run in Argo CD's Lua.
"""

from __future__ import annotations

import re

import crd_schema
import packaging_tools as tools
import pytest
import test_readme
import yaml
from packaging_tools import ROOT, Object

KINDS = ("PiaVpn", "VpnServiceContainer")
PLURALS = dict(zip(KINDS, crd_schema.PLURALS, strict=True))


def an_object(
    kind: str, *conditions: tuple[str, str, str], generation: int = 2, observed: int = 2
) -> Object:
    told = [
        {
            "type": name,
            "status": status,
            "reason": reason,
            "message": f"{name} is {status}",
            "lastTransitionTime": "2026-11-23T12:00:00Z",
            "observedGeneration": observed,
        }
        for name, status, reason in conditions
    ]
    return {
        "apiVersion": "piavpn.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "home", "namespace": "media", "generation": generation},
        "spec": {},
        "status": {"observedGeneration": observed, "conditions": told},
    }


def new_object(kind: str) -> Object:
    """Return what the API server makes of an object that nobody has seen yet."""
    body = an_object(kind, generation=1)
    body["status"] = crd_schema.schema(PLURALS[kind])["properties"]["status"]["default"]
    return body


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("conditions", "kstatus", "argocd"),
    [
        ([("Accepted", "True", "Accepted"), ("Ready", "True", "Ready")], "Current", "Healthy"),
        (
            [("Accepted", "True", "Accepted"), ("Ready", "False", "GatewayNotRunning")],
            "InProgress",
            "Progressing",
        ),
        (
            [("Accepted", "True", "Accepted"), ("Ready", "Unknown", "NodeAgentSilent")],
            "InProgress",
            "Degraded",
        ),
        (
            [("Accepted", "False", "SubnetOverlaps"), ("Ready", "False", "SubnetOverlaps")],
            "InProgress",
            "Degraded",
        ),
        (
            [("Accepted", "False", "VpnNotFound"), ("Ready", "False", "VpnNotFound")],
            "InProgress",
            "Progressing",
        ),
        (
            [("Accepted", "True", "Accepted"), ("Ready", "False", "BadCredentials")],
            "InProgress",
            "Degraded",
        ),
        (
            [("Accepted", "True", "Accepted"), ("Ready", "False", "Suspended")],
            "InProgress",
            "Suspended",
        ),
        (
            [("LeakFree", "False", "Leaked"), ("Ready", "True", "Ready")],
            "Current",
            "Degraded",
        ),
    ],
    ids=lambda value: value[-1][2] if isinstance(value, list) else None,
)
def test_health_is_that_of_ready(
    kind: str, conditions: list[tuple[str, str, str]], kstatus: str, argocd: str
) -> None:
    (found,) = tools.health(an_object(kind, *conditions))
    assert (found["kstatus"], found["argocd"]) == (kstatus, argocd)


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_that_nobody_has_seen_yet_is_not_in_order(kind: str) -> None:
    assert tools.health(new_object(kind)) == [
        {
            "kstatus": "InProgress",
            "argocd": "Progressing",
            "message": "the operator has not seen it yet",
        }
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_ready_before_the_last_change_is_not_in_order(kind: str) -> None:
    changed = an_object(kind, ("Ready", "True", "Ready"), generation=3)
    (found,) = tools.health(changed)
    assert (found["kstatus"], found["argocd"]) == ("InProgress", "Progressing")


def test_argo_cd_shows_the_words_of_ready() -> None:
    (found,) = tools.health(an_object("PiaVpn", ("Ready", "False", "BadCredentials")))
    assert found["message"] == "Ready is False"


def test_both_kinds_have_the_same_check() -> None:
    data = yaml.safe_load((ROOT / "manifests/argocd/health.yaml").read_text())["data"]
    assert set(data) == {f"resource.customizations.health.piavpn.dev_{kind}" for kind in KINDS}
    assert len(set(data.values())) == 1


def test_the_check_names_reasons_that_there_are() -> None:
    data = yaml.safe_load((ROOT / "manifests/argocd/health.yaml").read_text())["data"]
    named = set(re.findall(r"(\w+) = true", " ".join(data.values())))
    assert named
    assert named <= test_readme.written_reasons()
