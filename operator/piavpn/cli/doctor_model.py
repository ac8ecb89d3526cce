"""What the doctor knows of a cluster. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from piavpn.cli import doctor_rights

Object = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """How the cluster is. Objects are as the API has them; of Secrets only their keys are kept."""

    namespace: str
    """The operator's."""
    now: datetime
    version: str = ""
    definitions: Mapping[str, Object] = dataclasses.field(default_factory=dict)
    """Our CRDs, by plural."""
    vpns: tuple[Object, ...] = ()
    apps: tuple[Object, ...] = ()
    operator: Object | None = None
    """Its Deployment."""
    operator_pods: tuple[Object, ...] = ()
    agent_pods: tuple[Object, ...] = ()
    gateway_pods: tuple[Object, ...] = ()
    app_pods: tuple[Object, ...] = ()
    leases: tuple[Object, ...] = ()
    nodes: tuple[Object, ...] = ()
    service_cidrs: tuple[str, ...] = ()
    namespaces: Mapping[str, Object] = dataclasses.field(default_factory=dict)
    """By name."""
    policies: Mapping[str, Object | None] = dataclasses.field(default_factory=dict)
    """By kind: our admission policies for confined pods, and their bindings; None: not there."""
    secrets: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    """By name, in the operator's namespace: the keys that hold something."""
    denied: Mapping[str, tuple[doctor_rights.Right, ...]] = dataclasses.field(default_factory=dict)
    """By service account: the rights that it lacks."""
    denied_user: tuple[doctor_rights.Right, ...] = ()
    unread: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """By what could not be asked: why."""


def release(version: str) -> tuple[int, int] | None:
    """Return major and minor of a Kubernetes version; None where they are not known."""
    found = re.match(r"v(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None
