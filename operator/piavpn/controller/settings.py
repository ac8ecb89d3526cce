"""The operator's own settings, from its environment."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from collections.abc import Mapping

from piavpn.api import cidrs


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What the Deployment tells the operator."""

    namespace: str
    image: str
    cluster_domain: str
    cluster_cidrs: tuple[ipaddress.IPv4Network, ...]

    @classmethod
    def from_environment(cls, image: str, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read PIAVPN_NAMESPACE, PIAVPN_CLUSTER_DOMAIN and PIAVPN_CLUSTER_CIDRS.

        Args:
            image: the operator's own image: gateways and gates run the same.
            environment: the process's environment.

        Raises:
            ValueError: the namespace is missing, or a CIDR is none.
        """
        if not environment.get("PIAVPN_NAMESPACE"):
            raise ValueError("set PIAVPN_NAMESPACE in the operator's Deployment")
        return cls(
            namespace=environment["PIAVPN_NAMESPACE"],
            image=image,
            cluster_domain=environment.get("PIAVPN_CLUSTER_DOMAIN") or "cluster.local",
            cluster_cidrs=cidrs.given(environment),
        )
