"""Whether a PiaVpn can be served as it is, in this cluster. Pure."""

from __future__ import annotations

import ipaddress

from piavpn.api import cidrs, piavpns
from piavpn.api.conditions import Status
from piavpn.controller import model, network, renewal
from piavpn.controller.reasons import Reason

_SET = f"set {cidrs.VARIABLE} of the operator's Deployment and the node agent's DaemonSet"


def of_vpn(seen: model.Observed, chosen: ipaddress.IPv4Network | model.Verdict) -> model.Verdict:
    """Return the verdict on the PiaVpn; the first thing that is wrong is told.

    Args:
        seen: what is observed.
        chosen: the subnet, or why there is none.
    """
    if wrong := _cluster(seen):
        return wrong
    if isinstance(chosen, model.Verdict):
        return chosen
    if isinstance(seen.credentials, model.CredentialsProblem):
        return _refused(seen.credentials.reason, seen.credentials.message)
    if isinstance(seen.dedicated_token, model.CredentialsProblem):
        return _refused(seen.dedicated_token.reason, seen.dedicated_token.message)
    if seen.vpn is not None and (unusable := _unusable(seen.vpn.spec, chosen)):
        return unusable
    return model.Verdict(Status.TRUE, Reason.ACCEPTED)


def _cluster(seen: model.Observed) -> model.Verdict | None:
    """Return why the cluster's addresses are in the way; None where they are not."""
    api = seen.api_address
    if isinstance(api, ipaddress.IPv6Address):
        return _refused(
            Reason.IPV6_CLUSTER,
            f"the cluster's first address family is IPv6 (its API server's Service has {api}), and "
            "a confined pod has IPv4 alone: nothing would reach it; use a cluster that is IPv4, or "
            "dual-stack with IPv4 first",
        )
    if not seen.cluster_cidrs:
        return _refused(
            Reason.CLUSTER_CIDRS_UNKNOWN,
            "neither the nodes' podCIDRs with the ServiceCIDR API nor PIAVPN_CLUSTER_CIDRS tell "
            f"which addresses are the cluster's: {_SET}",
        )
    if api is not None and not any(api in cidr for cidr in seen.cluster_cidrs):
        known = ", ".join(map(str, seen.cluster_cidrs))
        return _refused(
            Reason.CLUSTER_CIDRS_WRONG,
            f"the API server's Service has {api}, which is in none of the networks that are known "
            f"as the cluster's ({known}): {_SET} to all pod and service CIDRs",
        )
    return None


def _unusable(spec: piavpns.PiaVpnSpec, subnet: ipaddress.IPv4Network) -> model.Verdict | None:
    return network.bypass_problem(spec.bypass_cidrs, subnet) or renewal.problem(spec.renewal)


def _refused(reason: str, message: str) -> model.Verdict:
    return model.Verdict(Status.FALSE, reason, message)
