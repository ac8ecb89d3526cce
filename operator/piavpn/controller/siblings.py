"""The gateways of all VPNs as the cluster has them, and which of them are of one PIA account."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable

from piavpn import kube
from piavpn.api import gateway_config, names, piavpns
from piavpn.controller import accounts, model


class Gateways:
    """What there is of all gateways: a few lists, however many VPNs."""

    def __init__(self, cluster: kube.Cluster, namespace: str) -> None:
        """Look.

        Raises:
            kube.KubeError: the API server did not answer.
        """
        pods = cluster.list(kube.PODS, namespace, labels=names.LABEL_GATEWAY)
        self.pods = {pod["metadata"]["labels"][names.LABEL_GATEWAY]: pod for pod in pods}
        self.config_maps = cluster.list(kube.CONFIG_MAPS, namespace, labels=names.LABEL_GATEWAY)
        configs = {
            item["metadata"]["labels"][names.LABEL_GATEWAY]: item for item in self.config_maps
        }
        self.configs = {
            vpn: config
            for vpn, item in configs.items()
            if (config := _gateway_config(item)) is not None
        }
        secrets = cluster.list(kube.SECRETS, namespace, labels=accounts.LABEL)
        self.accounts = {secret["metadata"]["name"]: secret for secret in secrets}

    def held_without(self, vpns: Collection[str]) -> dict[str, frozenset[ipaddress.IPv4Address]]:
        """Return the servers of gateways that run without one of these PiaVpns."""
        return {
            vpn: frozenset(server.address for server in config.servers)
            for vpn, config in self.configs.items()
            if vpn not in vpns and vpn in self.pods
        }


def of(
    vpn: piavpns.PiaVpn,
    credentials: model.Credentials | model.CredentialsProblem,
    others: Iterable[piavpns.PiaVpn],
    gateways: Gateways,
) -> tuple[model.Sibling, ...]:
    """Return the other VPNs of the account: by its user name, or the same Secret."""
    mine = vpn.spec.credentials_secret_ref.account_name
    account = (
        credentials.account
        if isinstance(credentials, model.Credentials)
        else _account(mine, gateways)
    )
    return tuple(
        model.Sibling(
            vpn=other,
            config=gateways.configs.get(other.name),
            running=other.name in gateways.pods,
            port_forwarding=_forwards_port(gateways.configs.get(other.name)),
        )
        for other in others
        if (name := other.spec.credentials_secret_ref.account_name) == mine
        or (account and _account(name, gateways) == account)
    )


def _forwards_port(config: gateway_config.GatewayConfig | None) -> bool:
    return config is not None and config.port_forwarding is not None


def _account(name: str, gateways: Gateways) -> str:
    known = accounts.read(gateways.accounts.get(name))
    return known.account if known is not None else ""


def _gateway_config(config_map: model.Object) -> gateway_config.GatewayConfig | None:
    try:
        return gateway_config.GatewayConfig.from_json(config_map["data"][gateway_config.KEY])
    except (KeyError, ValueError):
        return None
