"""The cluster that kubectl would talk to, and what of ours is in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from kubernetes import client, config

from piavpn import kube
from piavpn.api import piavpns, vpnapps
from piavpn.cli.errors import CommandError

_MOST_NAMED = 10


def connect(kubeconfig: str | None = None, context: str | None = None) -> kube.Cluster:
    """Return the cluster of a kubeconfig; None stands for what kubectl takes without that option.

    Raises:
        CommandError: there is no such file or context.
    """

    def load(settings: client.Configuration) -> None:
        config.load_kube_config(kubeconfig, context, client_configuration=settings)

    try:
        return kube.Cluster.connect(load)
    except kube.KubeError as error:
        raise CommandError(str(error)) from error


def namespace(kubeconfig: str | None = None, context: str | None = None) -> str:
    """Return the namespace that a context of a kubeconfig names."""
    try:
        contexts, current = config.list_kube_config_contexts(kubeconfig)
    except (config.ConfigException, OSError) as error:
        raise CommandError(f"no way to the Kubernetes API: {error}") from error
    chosen = next((each for each in contexts if each["name"] == context), current)
    return str(chosen["context"].get("namespace") or "default")


def vpn(cluster: kube.Cluster, name: str) -> piavpns.PiaVpn:
    """Return a PiaVpn.

    Raises:
        CommandError: there is none of that name.
        KubeError: the API server refused or did not answer.
    """
    found = cluster.get(kube.PIA_VPNS, name)
    if found is None:
        there = [item["metadata"]["name"] for item in cluster.list(kube.PIA_VPNS)]
        raise CommandError(f"there is no PiaVpn {name!r}: {_instead(name, there)}")
    return read_vpn(found)


def chosen_vpn(cluster: kube.Cluster, name: str | None) -> piavpns.PiaVpn:
    """Return the PiaVpn of that name or, where none is given, the only one.

    Raises:
        CommandError: there is none, or there are several.
        KubeError: the API server refused or did not answer.
    """
    if name is not None:
        return vpn(cluster, name)
    there = vpns(cluster)
    if not there:
        raise CommandError("there is no PiaVpn")
    if len(there) > 1:
        raise CommandError(f"name a PiaVpn: {', '.join(each.name for each in there)}")
    return there[0]


def vpns(cluster: kube.Cluster) -> list[piavpns.PiaVpn]:
    """Return all PiaVpns, by name."""
    return sorted(map(read_vpn, cluster.list(kube.PIA_VPNS)), key=lambda item: item.name)


def read_vpn(found: kube.Object) -> piavpns.PiaVpn:
    """Read a PiaVpn of any version.

    Raises:
        CommandError: it has a field that this version does not know.
    """
    try:
        return piavpns.PiaVpn.from_body(found)
    except ValueError as error:
        name = found["metadata"]["name"]
        raise CommandError(
            f"PiaVpn {name}: {error}: install the kubectl-piavpn of the operator's version"
        ) from error


def service(cluster: kube.Cluster, name: str, in_namespace: str) -> vpnapps.VpnServiceContainer:
    """Return a VpnServiceContainer; `name` may be NAMESPACE/NAME.

    Raises:
        CommandError: there is none of that name.
        KubeError: the API server refused or did not answer.
    """
    given, _, short = name.rpartition("/")
    where = given or in_namespace
    found = cluster.get(kube.VPN_SERVICE_CONTAINERS, short, where)
    if found is None:
        there = [_full_name(item) for item in cluster.list(kube.VPN_SERVICE_CONTAINERS)]
        raise CommandError(
            f"there is no VpnServiceContainer or labelled pod {short!r} in namespace {where!r}: "
            f"{_instead(f'{where}/{short}', there)}"
        )
    return read_service(found)


def services(cluster: kube.Cluster, in_namespace: str | None) -> list[vpnapps.VpnServiceContainer]:
    """Return all VpnServiceContainers of a namespace or, where that is None, of the cluster."""
    found = map(read_service, cluster.list(kube.VPN_SERVICE_CONTAINERS, in_namespace))
    return sorted(found, key=lambda item: (item.namespace, item.name))


def read_service(found: kube.Object) -> vpnapps.VpnServiceContainer:
    """Read a VpnServiceContainer.

    Raises:
        CommandError: it has a field that this version does not know.
    """
    try:
        return vpnapps.VpnServiceContainer.from_body(found)
    except ValueError as error:
        raise CommandError(
            f"VpnServiceContainer {_full_name(found)}: {error}: install the kubectl-piavpn of the "
            "operator's version"
        ) from error


def full_name(service: vpnapps.VpnServiceContainer) -> str:
    """Return NAMESPACE/NAME."""
    return f"{service.namespace}/{service.name}"


def _full_name(found: kube.Object) -> str:
    return f"{found['metadata']['namespace']}/{found['metadata']['name']}"


def _instead(name: str, there: Iterable[str]) -> str:
    known = sorted(there)
    if not known:
        return "there is none at all"
    elsewhere = [each for each in known if each.rpartition("/")[2] == name.rpartition("/")[2]]
    if similar := elsewhere[:3] or difflib.get_close_matches(name, known, n=3):
        return f"did you mean {' or '.join(similar)}?"
    rest = f", and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    return f"there is {', '.join(known[:_MOST_NAMED])}{rest}"
