"""All that `kubectl piavpn doctor` looks at, read once. What may not be read is noted, and left."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TypeVar

from piavpn import kube
from piavpn.api import names
from piavpn.cli import doctor_admission, doctor_rights
from piavpn.cli.doctor_model import Object, Seen, release

_Found = TypeVar("_Found")

DEPLOYMENTS = kube.Kind("apps/v1", "Deployment", "deployments")
DAEMON_SETS = kube.Kind("apps/v1", "DaemonSet", "daemonsets")
DEFINITIONS = kube.Kind(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    namespaced=False,
)
_ADMISSION = "admissionregistration.k8s.io/v1"
VALIDATING = (
    kube.Kind(
        _ADMISSION,
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        namespaced=False,
    ),
    kube.Kind(
        _ADMISSION,
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        namespaced=False,
    ),
)
MUTATING = (
    kube.Kind(
        _ADMISSION,
        "MutatingAdmissionPolicy",
        "mutatingadmissionpolicies",
        namespaced=False,
    ),
    kube.Kind(
        _ADMISSION,
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
        namespaced=False,
    ),
)
MUTATING_SINCE = (1, 36)
"""Kubernetes that serves them without being told to."""
_AUTHORIZATION = "authorization.k8s.io/v1"
ACCESS = kube.Kind(_AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews", namespaced=False)
OWN_ACCESS = kube.Kind(
    _AUTHORIZATION, "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False
)
_KINDS = (kube.PIA_VPNS, kube.VPN_SERVICE_CONTAINERS)


class Observer:
    """Reads a cluster for the doctor."""

    def __init__(
        self, cluster: kube.Cluster, namespace: str, progress: Callable[[str], None]
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._progress = progress
        self._unread: dict[str, str] = {}

    def look(self, vpn: str | None) -> Seen:
        """Return how things are.

        Args:
            vpn: look only at this PiaVpn and its apps; None for all.

        Raises:
            kube.KubeError: the API server does not answer, or knows neither of our kinds.
        """
        version = self._cluster.version()
        vpns = [item for item in self._cluster.list(kube.PIA_VPNS) if vpn in {None, _name(item)}]
        apps = [
            item
            for item in self._list("apps", kube.VPN_SERVICE_CONTAINERS)
            if vpn in {None, item["spec"]["vpnRef"]["name"]}
        ]
        label = f"={vpn}" if vpn is not None else ""
        app_pods = self._list("apps' pods", kube.PODS, labels=f"{names.LABEL_VPN}{label}")
        return Seen(
            namespace=self._namespace,
            now=datetime.now(UTC),
            version=version,
            definitions={kind.plural: found for kind in _KINDS if (found := self._crd(kind))},
            vpns=tuple(vpns),
            apps=tuple(apps),
            operator=self._ask(
                "operator",
                lambda: self._cluster.get(DEPLOYMENTS, "piavpn-operator", self._namespace),
                None,
            ),
            operator_pods=self._ours("piavpn-operator"),
            agent_pods=self._ours("piavpn-node-agent"),
            gateway_pods=self._list(
                "gateways' pods", kube.PODS, self._namespace, f"{names.LABEL_GATEWAY}{label}"
            ),
            app_pods=app_pods,
            leases=self._list(
                "node agents' Leases", kube.LEASES, self._namespace, names.LABEL_NODE_AGENT
            ),
            nodes=self._list("nodes", kube.NODES),
            service_cidrs=tuple(
                cidr
                for item in self._list("ServiceCIDRs", kube.SERVICE_CIDRS)
                for cidr in item["spec"].get("cidrs", [])
            ),
            namespaces=self._namespaces({self._namespace, *(_namespace(app) for app in apps)}),
            policies=self._policies(version),
            secrets=self._secrets(vpns),
            denied={account: self._denied(account) for account in doctor_rights.OF_PROGRAMS},
            denied_user=self._denied_to_user(),
            unread=self._unread,
        )

    def _ask(self, what: str, question: Callable[[], _Found], otherwise: _Found) -> _Found:
        """Return what a question is answered with; without an answer it is noted why."""
        self._progress(f"looking at {what}")
        try:
            return question()
        except kube.KubeError as error:
            if not error.answered:
                raise
            self._unread[what] = " ".join(str(error).split())
            return otherwise

    def _list(
        self, what: str, kind: kube.Kind, namespace: str | None = None, labels: str = ""
    ) -> tuple[Object, ...]:
        nothing: list[Object] = []
        found = self._ask(what, lambda: self._cluster.list(kind, namespace, labels=labels), nothing)
        return tuple(found)

    def _ours(self, name: str) -> tuple[Object, ...]:
        label = f"app.kubernetes.io/name={name}"
        return self._list(f"pods of {name}", kube.PODS, self._namespace, label)

    def _crd(self, kind: kube.Kind) -> Object | None:
        name = f"{kind.plural}.{names.GROUP}"
        return self._ask("CRDs", lambda: self._cluster.get(DEFINITIONS, name), None)

    def _namespaces(self, wanted: Iterable[str]) -> dict[str, Object]:
        found = {
            name: self._ask(
                "namespaces", functools.partial(self._cluster.get, kube.NAMESPACES, name), None
            )
            for name in sorted(wanted)
        }
        return {name: item for name, item in found.items() if item is not None}

    def _policies(self, version: str) -> dict[str, Object | None]:
        wanted = [(kind, doctor_admission.CONFINED_PODS) for kind in VALIDATING]
        if (release(version) or (0, 0)) >= MUTATING_SINCE:
            wanted += [(kind, doctor_admission.LABELLED_PODS) for kind in MUTATING]
        return self._ask(
            doctor_admission.UNREAD,
            lambda: {kind.kind: self._cluster.get(kind, name) for kind, name in wanted},
            {},
        )

    def _secrets(self, vpns: Iterable[Object]) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for name in sorted({vpn["spec"]["credentialsSecretRef"]["name"] for vpn in vpns}):
            read = functools.partial(self._cluster.get, kube.SECRETS, name, self._namespace)
            secret = self._ask(f"Secret {name}", read, None)
            if secret is not None:
                data = secret.get("data") or {}
                found[name] = frozenset(key for key, value in data.items() if value)
        return found

    def _denied(self, account: str) -> tuple[doctor_rights.Right, ...]:
        user = f"system:serviceaccount:{self._namespace}:{account}"
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{self._namespace}"]

        def lacking() -> tuple[doctor_rights.Right, ...]:
            return tuple(
                right
                for right in doctor_rights.OF_PROGRAMS[account]
                if not self._may(ACCESS, right, {"user": user, "groups": groups})
            )

        return self._ask(f"rights of {account}", lacking, ())

    def _denied_to_user(self) -> tuple[doctor_rights.Right, ...]:
        rights = doctor_rights.OF_USER
        return self._ask(
            "your own rights",
            lambda: tuple(right for right in rights if not self._may(OWN_ACCESS, right, {})),
            (),
        )

    def _may(self, kind: kube.Kind, right: doctor_rights.Right, who: Object) -> bool:
        spec = {**who, "resourceAttributes": right.attributes(self._namespace)}
        return bool(self._cluster.ask(kind, spec).get("allowed"))


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _namespace(item: Object) -> str:
    return str(item["metadata"]["namespace"])
