"""Read frozen dataclasses from the dicts of the Kubernetes API and write them back.

One rule for every type: a field `server_location` is `serverLocation` there, unless its metadata
gives another name. The CRD test walks the same dataclasses, so types and schema cannot drift apart.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import ipaddress
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, TypeVar

from piavpn.api import durations

T = TypeVar("T")

_FROM_STRING: dict[Any, Any] = {
    ipaddress.IPv4Address: ipaddress.IPv4Address,
    ipaddress.IPv4Network: ipaddress.IPv4Network,
    datetime: datetime.fromisoformat,
    time: time.fromisoformat,
    timedelta: durations.parse,
}


def field(name: str, **options: Any) -> Any:  # noqa: ANN401 - stands in for dataclasses.field
    """Declare a field whose name in the API is not its own name in camel case."""
    return dataclasses.field(metadata={"name": name}, **options)


def api_name(declared: dataclasses.Field[Any]) -> str:
    """Return the field's name in the API."""
    if name := declared.metadata.get("name"):
        return str(name)
    head, *tail = declared.name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def decode(cls: type[T], raw: Mapping[str, Any]) -> T:
    """Build `cls` from a dict of the API; absent fields take their defaults, unknown ones are left.

    Raises:
        ValueError: a value does not fit its type, or a field without default is absent.
    """
    values = {}
    for declared, name, hint in _fields(cls):  # type: ignore[arg-type]
        if raw.get(name) is not None:
            values[declared.name] = _value(hint, raw[name], name)
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(f"{cls.__name__}: {error}") from error


def encode(value: Any, *, defaults: bool = True) -> Any:  # noqa: ANN401 - any value of the API
    """Turn a dataclass (or what it holds) into plain dicts, lists and strings; None is left out.

    Args:
        value: what to write.
        defaults: whether fields are written that have their default.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((f, name, getattr(value, f.name)) for f, name, _ in _fields(type(value)))
        return {
            name: encode(item, defaults=defaults)
            for declared, name, item in fields
            if item is not None and (defaults or item != declared.default)
        }
    if isinstance(value, tuple | list):
        return [encode(item, defaults=defaults) for item in value]
    if isinstance(value, Mapping):
        return {key: encode(item, defaults=defaults) for key, item in value.items()}
    return _scalar(value)


def _scalar(value: Any) -> Any:  # noqa: ANN401 - any value of the API
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, time):
        return value.isoformat("minutes")
    if isinstance(value, timedelta):
        return durations.format_(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, ipaddress.IPv4Address | ipaddress.IPv4Network):
        return str(value)
    return value


def format_time(moment: datetime) -> str:
    """Format a time as the API does: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@functools.cache
def _fields(cls: type[Any]) -> tuple[tuple[dataclasses.Field[Any], str, Any], ...]:
    """Return the fields, each with its name in the API and its type.

    Found once: gateways read their document several times a second, the operator's passes all apps.
    """
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)
    return tuple((declared, api_name(declared), hints[declared.name]) for declared in fields)


def _value(hint: Any, raw: Any, name: str) -> Any:  # noqa: ANN401 - any value of the API
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (item for item in arguments if item is not type(None))
        return _value(inner, raw, name)
    if origin is tuple:
        return tuple(_value(arguments[0], item, name) for item in raw)
    if origin is dict:
        return dict(raw)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return decode(hint, raw)
    try:
        return _FROM_STRING.get(hint, hint)(raw)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error
