"""The cluster's networks, where its owner names them. Pure.

Operator and node agent must mean the same ones, so both read them here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

VARIABLE = "PIAVPN_CLUSTER_CIDRS"
"""Environment variable of both: IPv4 networks of pods and Services, separated by commas."""


def given(environment: Mapping[str, str]) -> tuple[ipaddress.IPv4Network, ...]:
    """Return the networks that the environment names; none where it is silent.

    Raises:
        ValueError: an entry is no IPv4 network.
    """
    stripped = (cidr.strip() for cidr in environment.get(VARIABLE, "").split(","))
    try:
        return tuple(ipaddress.IPv4Network(cidr) for cidr in stripped if cidr)
    except ValueError as error:
        raise ValueError(
            f"{VARIABLE} must be IPv4 networks, such as 10.244.0.0/16,10.96.0.0/12: {error}"
        ) from error
