"""What is well and what is not with a cluster, and what to do about it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from piavpn.api import codec, piavpns, vpnapps
from piavpn.cli import doctor_admission, doctor_nodes, doctor_rights
from piavpn.cli.doctor_model import Object, Seen, release
from piavpn.cli.findings import Finding, fail, ok, warn

OLDEST = (1, 31)
"""Kubernetes that the manifests ask for."""
_ENFORCE = "pod-security.kubernetes.io/enforce"
_SPECS = {
    "piavpns": piavpns.PiaVpnSpec,
    "vpnservicecontainers": vpnapps.VpnServiceContainerSpec,
}
_INSTALL = "kubectl apply -k manifests/base"


def every(seen: Seen) -> list[Finding]:
    """Return all findings, from what all depends on to the single app."""
    return [
        *_version(seen),
        *_definitions(seen),
        *doctor_admission.every(seen),
        *_operator(seen),
        *_rights(seen),
        *doctor_nodes.every(seen),
        *_pod_security(seen),
        *_credentials(seen),
        *_ready(seen),
        *_images(seen),
        *_unread(seen),
    ]


def _version(seen: Seen) -> Iterator[Finding]:
    found = release(seen.version)
    wanted = ".".join(map(str, OLDEST))
    if found is None:
        yield warn("Kubernetes", "the version is not known", f"see that it is {wanted} or newer")
    elif found < OLDEST:
        yield fail("Kubernetes", f"it is {seen.version}", f"upgrade it to {wanted} or newer")
    else:
        yield ok("Kubernetes", seen.version)


def _definitions(seen: Seen) -> Iterator[Finding]:
    for plural, definition in seen.definitions.items():
        fields = _fields_of_spec(definition)
        known = {codec.api_name(field) for field in dataclasses.fields(_SPECS[plural])}
        if missing := sorted(known - fields):
            yield warn(
                f"CRD {plural}",
                f"older than this plugin: it has no spec.{missing[0]}",
                f"{_INSTALL}, of the operator's version",
            )
        else:
            yield ok(f"CRD {plural}", "has all fields that this plugin knows")


def _fields_of_spec(definition: Object) -> set[str]:
    for version in definition["spec"]["versions"]:
        if version.get("served"):
            schema = version["schema"]["openAPIV3Schema"]
            return set(schema["properties"]["spec"].get("properties", {}))
    return set()


def _operator(seen: Seen) -> Iterator[Finding]:
    if "operator" in seen.unread:
        return
    if seen.operator is None:
        yield fail(
            "operator",
            f"there is no Deployment piavpn-operator in namespace {seen.namespace}",
            f"{_INSTALL}, or name its namespace with --operator-namespace",
        )
    elif not seen.operator.get("status", {}).get("readyReplicas"):
        where = f"-n {seen.namespace} deployment/piavpn-operator"
        yield fail("operator", "it does not run", f"kubectl describe {where}; kubectl logs {where}")
    else:
        yield ok("operator", "runs")


def _rights(seen: Seen) -> Iterator[Finding]:
    for account, denied in seen.denied.items():
        if f"rights of {account}" in seen.unread:
            continue
        if denied:
            lacking = ", ".join(map(str, denied))
            yield fail(f"rights of {account}", f"it may not {lacking}", f"{_INSTALL} again")
        else:
            yield ok(f"rights of {account}", "as the manifests grant them")
    for right in seen.denied_user:
        yield warn(
            "your own rights",
            f"you may not {right}",
            f"ask the cluster's admin for it, for kubectl piavpn {doctor_rights.OF_USER[right]}",
        )
    if not seen.denied_user and "your own rights" not in seen.unread:
        yield ok("your own rights", "enough for all commands of the plugin")


def _pod_security(seen: Seen) -> Iterator[Finding]:
    for name, namespace in seen.namespaces.items():
        level = (namespace["metadata"].get("labels") or {}).get(_ENFORCE)
        if name == seen.namespace:
            yield _of_operator(name, level)
        elif level == "restricted":
            yield from _in_restricted(seen, name)
        else:
            yield ok(f"Pod Security of {name}", f"{level or 'not set'}: apps may run as they are")


def _of_operator(name: str, level: str | None) -> Finding:
    check = f"Pod Security of {name}"
    label = f"kubectl label namespace {name} --overwrite {_ENFORCE}=privileged"
    if level == "privileged":
        return ok(check, "privileged, for the node agents")
    if level is None:
        said = f"the namespace has no label {_ENFORCE}: what holds is the cluster's default"
        return warn(check, said, label)
    return fail(check, f"{level}: no node agent and no gateway is let in", label)


def _in_restricted(seen: Seen, namespace: str) -> Iterator[Finding]:
    check = f"Pod Security of {namespace}"
    unfit = [
        app["metadata"]["name"]
        for app in seen.apps
        if app["metadata"]["namespace"] == namespace and not _says_who_it_runs_as(app)
    ]
    if unfit:
        yield warn(
            check,
            f"restricted, and no securityContext.runAsNonRoot in {', '.join(unfit)}",
            "give these apps the securityContext that docs/fields.md shows for restricted",
        )
    else:
        yield ok(check, "restricted, and apps are made for it")


def _says_who_it_runs_as(app: Object) -> bool:
    spec = app["spec"]
    return bool((spec.get("securityContext") or {}).get("runAsNonRoot")) or "template" in spec


def _credentials(seen: Seen) -> Iterator[Finding]:
    for vpn in seen.vpns:
        ref = vpn["spec"]["credentialsSecretRef"]
        secret = ref["name"]
        if f"Secret {secret}" in seen.unread:
            continue
        check = f"credentials of {vpn['metadata']['name']}"
        wanted = (ref.get("usernameKey", "username"), ref.get("passwordKey", "password"))
        there = seen.secrets.get(secret)
        make = f"kubectl create secret generic {secret} -n {seen.namespace} " + " ".join(
            f"--from-literal={key}=..." for key in wanted
        )
        if there is None:
            yield fail(check, f"there is no Secret {secret} in namespace {seen.namespace}", make)
        elif lacking := [key for key in wanted if key not in there]:
            # Not the client's own apply, which writes all that it is given into an annotation.
            apply = "kubectl apply --server-side --force-conflicts -f -"
            todo = f"{make} --dry-run=client -o yaml | {apply}"
            yield fail(check, f"Secret {secret} has no {' and no '.join(lacking)}", todo)
        else:
            yield ok(check, f"Secret {secret} has {wanted[0]} and {wanted[1]}")


def _ready(seen: Seen) -> Iterator[Finding]:
    for kind, items in (("PiaVpn", seen.vpns), ("vpnapp", seen.apps)):
        for item in items:
            metadata = item["metadata"]
            name = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
            yield _of_condition(f"{kind} {name}", item)


def _of_condition(check: str, item: Object) -> Finding:
    listed = (item.get("status") or {}).get("conditions") or []
    ready = next((each for each in listed if each["type"] == "Ready"), None)
    if ready is None:
        return fail(check, "the operator has said nothing of it", "see whether the operator runs")
    said = f"{ready['reason']}: {ready.get('message', '')}".rstrip(": ")
    if ready["status"] == "True":
        return ok(check, said)
    if ready["reason"] == "Suspended":
        return ok(check, "suspended")
    return fail(check, said, f"see {ready['reason']} in docs/conditions.md")


def _images(seen: Seen) -> Iterator[Finding]:
    current = {image for pod in seen.operator_pods for image in _images_of(pod, {"operator"})}
    if len(current) != 1:
        return
    (image,) = current
    behind = [
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in (*seen.gateway_pods, *seen.app_pods)
        if _images_of(pod, {"gateway", "piavpn-gate"}) - {image}
    ]
    agents = [
        pod["metadata"]["name"]
        for pod in seen.agent_pods
        if _images_of(pod, {"node-agent"}) != {image}
    ]
    if agents:
        yield warn(
            "images",
            f"operator and node agents differ: {image} is not in {', '.join(agents)}",
            f"kubectl rollout status -n {seen.namespace} daemonset/piavpn-node-agent",
        )
    if behind:
        yield warn(
            "images", f"of another image than {image}: {_few(behind)}", "kubectl piavpn upgrade"
        )
    if not agents and not behind:
        yield ok("images", f"all parts run {image}")


def _images_of(pod: Object, containers: set[str]) -> set[str]:
    spec = pod["spec"]
    every = [*spec.get("initContainers", []), *spec["containers"]]
    return {each["image"] for each in every if each["name"] in containers}


def _few(names: list[str], most: int = 5) -> str:
    rest = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _unread(seen: Seen) -> Iterator[Finding]:
    for what, why in seen.unread.items():
        yield warn(what, f"not looked at: {why}", "ask with more rights")
