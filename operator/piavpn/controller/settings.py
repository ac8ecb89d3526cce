"""The operator's own settings, from its environment."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from collections.abc import Mapping

from piavpn import logs
from piavpn.api import cidrs


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What the Deployment tells the operator."""

    namespace: str
    image: str
    cluster_domain: str
    cluster_cidrs: tuple[ipaddress.IPv4Network, ...]
    log_format: str = logs.TEXT
    """Of the log lines of gateways and gates."""

    @property
    def log_environment(self) -> list[dict[str, str]]:
        """The variables of gateways and gates that have them log as the operator does."""
        if self.log_format == logs.TEXT:
            return []
        return [{"name": logs.FORMAT, "value": self.log_format}]

    @classmethod
    def from_environment(cls, image: str, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read PIAVPN_NAMESPACE, PIAVPN_CLUSTER_DOMAIN, _CLUSTER_CIDRS and _LOG_FORMAT.

        Args:
            image: the operator's own image: gateways and gates run the same.
            environment: the process's environment.

        Raises:
            ValueError: the namespace is missing, or another one cannot be used.
        """
        if not environment.get("PIAVPN_NAMESPACE"):
            raise ValueError("set PIAVPN_NAMESPACE in the operator's Deployment")
        return cls(
            namespace=environment["PIAVPN_NAMESPACE"],
            image=image,
            cluster_domain=environment.get("PIAVPN_CLUSTER_DOMAIN") or "cluster.local",
            cluster_cidrs=cidrs.given(environment),
            log_format=logs.format_of(environment),
        )
