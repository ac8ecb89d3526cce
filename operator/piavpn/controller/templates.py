"""A user's pod template over the generated one, without what would break the promise. Pure.

Merged as a strategic merge patch is: objects field by field, the lists below item by item, all
other lists as a whole; null takes a field away. What comes of it is judged by the same rule by
which the node's agent judges a pod.
"""

from __future__ import annotations

from typing import Any

from piavpn.api import names, pods, promise

_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "ports": ("containerPort", "protocol"),
    "hostAliases": ("ip",),
    "resourceClaims": ("name",),
}
"""The lists that are merged item by item, and what tells the items apart."""
_OURS = {
    "dnsPolicy": "an app asks its gateway alone",
    "dnsConfig": "an app asks its gateway alone",
    "nodeName": "use nodeSelector or affinity",
    "ephemeralContainers": "no template has them",
}
"""Fields that the operator alone sets, and why."""
_NAMED = ("initContainers", "containers", "volumes")


class NotAllowedError(ValueError):
    """A template that asks for what it may not have; its message names the field."""


def merged(spec: pods.AsInAPod, over: pods.AsInAPod) -> pods.AsInAPod:
    """Return the pod's spec with a user's over it, sealed anew.

    Args:
        spec: the generated one, sealed.
        over: the user's.

    Raises:
        NotAllowedError: the user's names what is the operator's, or breaks the promise.
    """
    _refuse_ours(over)
    both = _objects(spec, over, "spec.template.spec")
    both["initContainers"] = _gate_first(both["initContainers"])
    for field in ("initContainers", "containers"):
        both[field] = [sealed(container) for container in both[field]]
    if problem := promise.breach(both):
        raise NotAllowedError(f"spec.template.{problem}")
    return both


def sealed(container: pods.AsInAPod) -> pods.AsInAPod:
    """Return the container without NET_RAW: runtimes grant it where nobody takes it away.

    And without a way to more rights than it starts with, unless it says so itself.
    """
    context = {"allowPrivilegeEscalation": False, **(container.get("securityContext") or {})}
    capabilities = context.get("capabilities") or {}
    dropped = capabilities.get("drop") or []
    if not promise.drops_net_raw(dropped):
        context["capabilities"] = capabilities | {"drop": [*dropped, "NET_RAW"]}
    return container | {"securityContext": context}


def _refuse_ours(over: pods.AsInAPod) -> None:
    for field, why in _OURS.items():
        if field in over:
            raise NotAllowedError(f"spec.template.spec.{field} is the operator's: {why}")
    for field in _NAMED:
        for item in over.get(field) or []:
            if item["name"].startswith("piavpn"):
                place = f"spec.template.spec.{field}"
                raise NotAllowedError(f"{place}: the name {item['name']} is the operator's")


def _gate_first(containers: list[pods.AsInAPod]) -> list[pods.AsInAPod]:
    return sorted(containers, key=lambda container: container["name"] != names.GATE_CONTAINER)


def _objects(base: pods.AsInAPod, over: pods.AsInAPod, place: str) -> pods.AsInAPod:
    result = dict(base)
    for field, value in over.items():
        if value is None:
            if field in _NAMED:
                raise NotAllowedError(f"{place}.{field} must not be null")
            result.pop(field, None)
        else:
            result[field] = _values(result.get(field), value, field, f"{place}.{field}")
    return result


def _values(base: Any, over: Any, field: str, place: str) -> Any:  # noqa: ANN401 - any value
    if isinstance(base, dict) and isinstance(over, dict):
        return _objects(base, over, place)
    if isinstance(base, list) and isinstance(over, list) and field in _KEYS:
        return _lists(base, over, _KEYS[field], place)
    return over


def _lists(base: list[Any], over: list[Any], keys: tuple[str, ...], place: str) -> list[Any]:
    result = {_key(item, keys): item for item in base}
    for item in over:
        if not isinstance(item, dict) or keys[0] not in item:
            raise NotAllowedError(f"{place}: each item needs {keys[0]}")
        key = _key(item, keys)
        result[key] = _objects(result[key], item, place) if key in result else item
    return list(result.values())


def _key(item: pods.AsInAPod, keys: tuple[str, ...]) -> tuple[Any, ...]:
    defaults = {"protocol": "TCP"}
    return tuple(item.get(key, defaults.get(key)) for key in keys)
