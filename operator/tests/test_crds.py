"""The CRDs say what the types say, and keep the rules of the Kubernetes API's conventions."""

import dataclasses
import enum
import ipaddress
import types
import typing
from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any

import crd_schema
import pytest

from piavpn.api import codec, conditions, names, piavpns, pods, vpnapps

STANDARD_CONDITION = ["lastTransitionTime", "message", "reason", "status", "type"]
"""What metav1.Condition requires; in memory a condition may wait for its time."""

AS_IN_A_POD = {"type": "object", "as": "in a pod"}
"""The shape of what is handed on as it is: test_crds_pods.py judges its schema."""

KINDS = {
    "piavpns": (piavpns.PiaVpnSpec, piavpns.PiaVpnStatus),
    "vpnservicecontainers": (vpnapps.VpnServiceContainerSpec, vpnapps.VpnServiceContainerStatus),
}


def paths(plural: str, is_wrong: Callable[[crd_schema.Schema], object]) -> list[str]:
    """Return the paths of the schema's nodes that are wrong."""
    return [path for path, node in crd_schema.walk(crd_schema.schema(plural)) if is_wrong(node)]


def shape_of_type(hint: Any) -> dict[str, Any]:  # noqa: PLR0911 - one for each kind of type
    """Return what the schema of a type must be, but for descriptions, bounds and rules."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, typing.Union}:
        return shape_of_type(next(a for a in arguments if a is not type(None)))
    if hint == pods.AsInAPod:
        return dict(AS_IN_A_POD)
    if origin is dict:
        return {"type": "object", "additionalProperties": shape_of_type(arguments[1])}
    if origin is tuple:
        return {"type": "array", "items": shape_of_type(arguments[0])}
    if dataclasses.is_dataclass(hint):
        return _shape_of_dataclass(typing.cast("type[Any]", hint))
    if issubclass(hint, enum.Enum):
        return {"type": "string", "enum": sorted(member.value for member in hint)}
    scalars = {
        bool: {"type": "boolean"},
        int: {"type": "integer"},
        str: {"type": "string"},
        datetime: {"type": "string", "format": "date-time"},
        time: {"type": "string"},
        timedelta: {"type": "string"},
        ipaddress.IPv4Address: {"type": "string"},
        ipaddress.IPv4Network: {"type": "string"},
    }
    return dict(scalars[hint])


def _shape_of_dataclass(cls: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    required, properties = [], {}
    for field in dataclasses.fields(cls):
        name = codec.api_name(field)
        properties[name] = shape_of_type(hints[field.name]) | _default_of(field)
        if field.default is field.default_factory is dataclasses.MISSING:
            required.append(name)
    if cls is conditions.Condition:
        required = STANDARD_CONDITION
    return {"type": "object", "properties": properties, "required": sorted(required)}


def _default_of(field: dataclasses.Field[Any]) -> dict[str, Any]:
    if field.default in (dataclasses.MISSING, None, ()):
        return {}
    if dataclasses.is_dataclass(field.default):
        return {"default": {}}  # the API server fills in the defaults of the fields within
    return {"default": codec.encode(field.default)}


def shape_of_schema(node: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Reduce a schema to what a type can say."""
    if path.endswith(crd_schema.AS_IN_A_POD):
        return dict(AS_IN_A_POD)
    shape: dict[str, Any] = {"type": node["type"]}
    shape |= {key: node[key] for key in ("default",) if key in node}
    if node.get("format") == "date-time":
        shape["format"] = "date-time"
    if "enum" in node:
        shape["enum"] = sorted(node["enum"])
    if "additionalProperties" in node:
        shape["additionalProperties"] = shape_of_schema(node["additionalProperties"])
    elif node["type"] == "object":
        known = node["properties"]
        shape["properties"] = {k: shape_of_schema(v, f"{path}.{k}") for k, v in known.items()}
        shape["required"] = sorted(node.get("required", []))
    if "items" in node:
        shape["items"] = shape_of_schema(node["items"], f"{path}[]")
    return shape


def without_defaults(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {key: without_defaults(value) for key, value in shape.items() if key != "default"}
    return shape


@pytest.mark.parametrize("plural", KINDS)
def test_a_spec_has_the_fields_defaults_and_required_fields_of_its_type(plural: str) -> None:
    spec, _ = KINDS[plural]
    assert shape_of_schema(crd_schema.schema(plural)["properties"]["spec"]) == shape_of_type(spec)


@pytest.mark.parametrize("plural", KINDS)
def test_a_status_has_the_fields_of_its_type_and_says_who_has_not_seen_it_yet(plural: str) -> None:
    _, status = KINDS[plural]
    declared = dict(crd_schema.schema(plural)["properties"]["status"])
    assert declared.pop("default") == {
        "conditions": [
            {
                "type": "Ready",
                "status": "Unknown",
                "reason": "Pending",
                "message": "the operator has not seen it yet",
                "lastTransitionTime": "1970-01-01T00:00:00Z",
            }
        ]
    }
    assert shape_of_schema(declared) == without_defaults(shape_of_type(status))


@pytest.mark.parametrize(
    ("plural", "scope", "expected"),
    [
        (
            "piavpns",
            "Cluster",
            {
                "kind": "PiaVpn",
                "listKind": "PiaVpnList",
                "plural": "piavpns",
                "singular": "piavpn",
                "shortNames": ["pvpn"],
                "categories": ["pia"],
            },
        ),
        (
            "vpnservicecontainers",
            "Namespaced",
            {
                "kind": "VpnServiceContainer",
                "listKind": "VpnServiceContainerList",
                "plural": "vpnservicecontainers",
                "singular": "vpnservicecontainer",
                "shortNames": ["vpnapp"],
                "categories": ["pia"],
            },
        ),
    ],
)
def test_a_kind_has_its_documented_names(
    plural: str, scope: str, expected: dict[str, object]
) -> None:
    spec = crd_schema.load(plural)["spec"]
    assert (spec["group"], spec["scope"], spec["names"]) == (names.GROUP, scope, expected)


@pytest.mark.parametrize("plural", crd_schema.PLURALS)
def test_a_category_hides_no_kind_from_kubectl_get(plural: str) -> None:
    declared = crd_schema.load(plural)["spec"]["names"]
    taken = {declared["singular"], declared["plural"], *declared["shortNames"]}
    assert taken.isdisjoint(declared["categories"])


@pytest.mark.parametrize("plural", crd_schema.PLURALS)
def test_the_version_is_served_stored_and_has_a_status_subresource(plural: str) -> None:
    version = crd_schema.version(plural)
    assert version["name"] == names.VERSION
    assert version["served"]
    assert version["storage"]
    assert version["subresources"] == {"status": {}}


@pytest.mark.parametrize(
    ("plural", "narrow", "wide"),
    [
        (
            "piavpns",
            ["Ready", "Region", "Server", "Exit address", "Port", "Services", "Age"],
            ["Node", "Subnet", "Registered", "Reason", "Message"],
        ),
        (
            "vpnservicecontainers",
            ["Ready", "Confined", "VPN", "Address", "Port", "Age"],
            ["Reason", "Message"],
        ),
    ],
)
def test_kubectl_get_shows_the_state_at_a_glance_and_its_reason_when_wide(
    plural: str, narrow: list[str], wide: list[str]
) -> None:
    columns = crd_schema.version(plural)["additionalPrinterColumns"]
    assert [column["name"] for column in columns if not column.get("priority")] == narrow
    assert [column["name"] for column in columns if column.get("priority")] == wide


@pytest.mark.parametrize("plural", crd_schema.PLURALS)
def test_every_column_shows_a_field_that_exists(plural: str) -> None:
    known = {path for path, _ in crd_schema.walk(crd_schema.schema(plural))}
    for column in crd_schema.version(plural)["additionalPrinterColumns"]:
        path, _, of_condition = column["jsonPath"].partition("[?")
        field = of_condition.partition(")]")[2]
        assert path + ("[]" + field if of_condition else "") in known | {
            ".metadata.creationTimestamp"
        }


@pytest.mark.parametrize("plural", crd_schema.PLURALS)
def test_every_field_is_described_in_a_sentence(plural: str) -> None:
    undescribed = paths(plural, lambda node: not node.get("description", "").endswith("."))
    assert undescribed == [".metadata"]  # the API server describes it, and refuses us to


@pytest.mark.parametrize("plural", crd_schema.PLURALS)
def test_no_field_takes_whatever_it_is_given(plural: str) -> None:
    kind = {"type", "x-kubernetes-int-or-string"}
    loose = "x-kubernetes-preserve-unknown-fields"
    found = paths(plural, lambda node: not kind & node.keys() or loose in node)
    # The API server takes whatever it is given there; the StatefulSet that is made of it is judged.
    assert [path for path in found if not path.startswith(".spec.template.spec")] == []


@pytest.mark.parametrize("plural", crd_schema.PLURALS)
def test_every_map_is_bounded(plural: str) -> None:
    assert paths(plural, _is_an_unbounded_map) == []


def _is_an_unbounded_map(node: crd_schema.Schema) -> bool:
    values = node.get("additionalProperties")
    return values is not None and not ("maxProperties" in node and "maxLength" in values)


@pytest.mark.parametrize("plural", crd_schema.PLURALS)
def test_every_list_is_bounded_and_says_how_it_is_merged(plural: str) -> None:
    needed = {"maxItems", "x-kubernetes-list-type"}
    assert paths(plural, lambda node: node.get("type") == "array" and needed - node.keys()) == []


@pytest.mark.parametrize("plural", crd_schema.PLURALS)
def test_every_reference_is_replaced_as_a_whole(plural: str) -> None:
    merged = paths(plural, lambda node: node.get("x-kubernetes-map-type") != "atomic")
    assert [path for path in merged if path.endswith("Ref")] == []


@pytest.mark.parametrize("plural", crd_schema.PLURALS)
def test_what_a_rule_reads_is_bounded_so_that_its_cost_is(plural: str) -> None:
    bounds = {
        "boolean": {"type"},
        "integer": {"maximum"},
        "string": {"maxLength"},
        "array": {"maxItems"},
        "object": {"properties", "maxProperties"},
    }
    ruled = "x-kubernetes-validations"
    assert paths(plural, lambda node: ruled in node and not bounds[node["type"]] & set(node)) == []


@pytest.mark.parametrize("plural", crd_schema.PLURALS)
def test_every_rule_says_what_is_wrong_in_words(plural: str) -> None:
    assert paths(plural, _has_a_silent_rule) == []


def _has_a_silent_rule(node: crd_schema.Schema) -> bool:
    rules = node.get("x-kubernetes-validations", [])
    return not all(rule.keys() & {"message", "messageExpression"} for rule in rules)


@pytest.mark.parametrize("plural", crd_schema.PLURALS)
def test_conditions_are_those_of_the_kubernetes_api(plural: str) -> None:
    declared = crd_schema.schema(plural)["properties"]["status"]["properties"]["conditions"]
    assert declared["x-kubernetes-list-type"] == "map"
    assert declared["x-kubernetes-list-map-keys"] == ["type"]
    assert declared["items"]["required"] == [
        "type",
        "status",
        "reason",
        "message",
        "lastTransitionTime",
    ]
    assert declared["items"]["properties"]["status"]["enum"] == ["True", "False", "Unknown"]


def test_the_longest_name_of_a_vpn_leaves_room_for_what_kubernetes_appends() -> None:
    spec = crd_schema.schema("vpnservicecontainers")["properties"]["spec"]["properties"]
    longest = "v" * spec["vpnRef"]["properties"]["name"]["maxLength"]
    revision_label = f"{names.gateway_name(longest)}-{'f' * 10}"
    assert len(revision_label) <= 63


def test_the_longest_name_of_a_secret_leaves_room_for_the_account_s_name() -> None:
    spec = crd_schema.schema("piavpns")["properties"]["spec"]["properties"]
    longest = "s" * spec["credentialsSecretRef"]["properties"]["name"]["maxLength"]
    assert len(names.account_name(longest)) <= 253
