"""VpnServiceContainer (`vpnapp` for short) as frozen dataclasses.

`crds/vpnservicecontainers.yaml` describes every field; a test holds the two together. Bounds and
defaults live in the schema; the defaults here equal them, for objects that never went through an
API server.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from piavpn.api import codec, conditions, pods, protocols


@dataclasses.dataclass(frozen=True, slots=True)
class VpnRef:
    """The PiaVpn that a service goes through."""

    name: str


class ImagePullPolicy(StrEnum):
    """When the kubelet pulls an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


@dataclasses.dataclass(frozen=True, slots=True)
class ServicePort:
    """A port that the app listens on; it gets a Service port of the same number."""

    name: str
    port: int
    protocol: protocols.Protocol = protocols.Protocol.TCP


@dataclasses.dataclass(frozen=True, slots=True)
class ReceiveForwardedPort:
    """That the app receives the port that PIA forwards."""

    port: int | None = None
    """The app's fixed port; None for the number that PIA assigns."""
    protocol: protocols.ForwardedProtocol = protocols.ForwardedProtocol.BOTH


@dataclasses.dataclass(frozen=True, slots=True)
class ClientSecretRef:
    """The Secret with a client's user name and password, in the app's namespace."""

    name: str
    username_key: str = "username"
    password_key: str = "password"  # noqa: S105 - a key's name


class Client(StrEnum):
    """Torrent clients that can be told their port."""

    QBITTORRENT = "qBittorrent"
    TRANSMISSION = "Transmission"
    DELUGE = "Deluge"

    @property
    def default_port(self) -> int:
        """Where its web interface listens, unless it was told otherwise."""
        return {self.QBITTORRENT: 8080, self.TRANSMISSION: 9091, self.DELUGE: 8112}[self]


@dataclasses.dataclass(frozen=True, slots=True)
class OnExitAddressChanged:
    """What to run when the Internet sees the app with another address."""

    script: str
    image: str | None = None
    env: tuple[pods.EnvVar, ...] = ()
    env_from: tuple[pods.EnvFrom, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class OnPortForwarded:
    """How the app hears of its port: a script, or a client that we know."""

    script: str | None = None
    image: str | None = None
    env: tuple[pods.EnvVar, ...] = ()
    env_from: tuple[pods.EnvFrom, ...] = ()
    client: Client | None = None
    client_port: int | None = None
    client_secret_ref: ClientSecretRef | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class VpnServiceContainerSpec:
    """What the user wants of an app behind a tunnel."""

    vpn_ref: VpnRef
    image: str
    ip: ipaddress.IPv4Address | None = None
    image_pull_policy: ImagePullPolicy | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[pods.EnvVar, ...] = ()
    env_from: tuple[pods.EnvFrom, ...] = ()
    time_zone: str | None = None
    ports: tuple[ServicePort, ...] = ()
    service: pods.ServiceOptions | None = None
    mounts: tuple[pods.Mount, ...] = ()
    resources: pods.AsInAPod | None = None
    liveness_probe: pods.AsInAPod | None = None
    readiness_probe: pods.AsInAPod | None = None
    startup_probe: pods.AsInAPod | None = None
    security_context: pods.AsInAPod | None = None
    pod_labels: dict[str, str] | None = None
    pod_annotations: dict[str, str] | None = None
    template: pods.Template | None = None
    suspend: bool = False
    receive_forwarded_port: ReceiveForwardedPort | None = None
    on_port_forwarded: OnPortForwarded | None = None
    on_exit_address_changed: OnExitAddressChanged | None = None
    bypass_cidrs: tuple[ipaddress.IPv4Network, ...] = codec.field("bypassCIDRs", default=())
    """What the app reaches past the tunnel, beside what all apps of its PiaVpn do."""


@dataclasses.dataclass(frozen=True, slots=True)
class VpnServiceContainerStatus:
    """What is known of an app behind a tunnel."""

    observed_generation: int = 0
    address: ipaddress.IPv4Address | None = None
    forwarded_port: int | None = None
    """The number that PIA forwards to the app."""
    conditions: tuple[conditions.Condition, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class VpnServiceContainer:
    """A VpnServiceContainer as read from the API."""

    name: str
    namespace: str
    uid: str
    generation: int
    created: datetime
    spec: VpnServiceContainerSpec
    status: VpnServiceContainerStatus
    deleting: bool = False

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> VpnServiceContainer:
        """Read one from the API.

        Raises:
            ValueError: a field does not fit its type, as after a downgrade of the CRD.
        """
        metadata = body["metadata"]
        return cls(
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata.get("uid", ""),
            generation=metadata.get("generation", 0),
            created=datetime.fromisoformat(metadata["creationTimestamp"]),
            deleting="deletionTimestamp" in metadata,
            spec=codec.decode(VpnServiceContainerSpec, body["spec"]),
            status=codec.decode(VpnServiceContainerStatus, body.get("status") or {}),
        )
