"""The admission policies say what the programs do: each rule is written in two languages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from piavpn.api import promise

MANIFESTS = Path(__file__).parents[2] / "manifests"


def policies(file: str) -> dict[str, dict[str, Any]]:
    bodies = yaml.safe_load_all((MANIFESTS / file).read_text())
    return {b["metadata"]["name"]: b["spec"] for b in bodies if b["kind"].endswith("Policy")}


VALIDATING, MUTATING = policies("base/admission.yaml"), policies("mutating/labelled-pods.yaml")
CONFINED = {
    each["name"]: each["expression"] for each in VALIDATING["piavpn-confined-pods"]["variables"]
}


def test_the_same_capabilities_are_refused() -> None:
    (listed,) = re.findall(r"\(CAP_\)\?\(([A-Z_|]+)\)\$", CONFINED["powers"])
    assert set(listed.split("|")) == promise.POWERS


def test_the_same_paths_of_a_node_are_refused() -> None:
    listed = {path.strip("/") for path in re.findall(r"'([^']+)'", CONFINED["keysToTheNode"])}
    known = {str(path).strip("/") for path in promise.KEYS_TO_THE_NODE}
    assert listed == known | {f"var/{path}" for path in known if path.startswith("run/")}


@pytest.mark.parametrize(
    ("name", "policy"), [*VALIDATING.items(), *MUTATING.items()], ids=lambda it: str(it)[:40]
)
def test_nothing_but_pods_behind_a_tunnel_and_what_agents_write_waits_for_a_policy(
    name: str, policy: dict[str, Any]
) -> None:
    assert policy["failurePolicy"] == "Fail"
    if name in {"piavpn-node-agents", "piavpn-node-keys"}:
        (condition,) = policy["matchConditions"]
        assert condition["expression"].endswith(":piavpn-node-agent'")
        return
    selected = policy["matchConstraints"]["objectSelector"]["matchExpressions"]
    assert {"key": "piavpn.dev/vpn", "operator": "Exists"} in selected


def test_no_value_of_a_patch_is_a_list_of_objects() -> None:
    """Such a value panics the API server of Kubernetes 1.36.3."""
    patches = MUTATING["piavpn-labelled-pods"]["mutations"]
    assert patches
    for patch in patches:
        assert not re.search(r"value:\s*\[\s*Object", patch["jsonPatch"]["expression"])


def test_an_empty_vpn_label_is_refused_in_words_of_its_own() -> None:
    """Only the first rule that does not hold is told: no policy has put a gate into such a pod."""
    first = VALIDATING["piavpn-confined-pods"]["validations"][0]
    assert first == {
        "expression": "variables.lives || "
        "object.metadata.?labels[?'piavpn.dev/vpn'].orValue('none') != ''",
        "message": "label piavpn.dev/vpn is empty: set it to the name of a PiaVpn, or take it out",
    }


def test_an_empty_service_label_is_refused() -> None:
    """Both policies on labelled pods pass by whatever has that label, and so has the address."""
    rules = [each["expression"] for each in VALIDATING["piavpn-confined-pods"]["validations"]]
    service = "object.metadata.?labels[?'piavpn.dev/service'].orValue('none')"
    assert f"variables.lives || {service} != ''" in rules
