"""An app's pod is as its user says: data that is kept, settings, probes, rights, a template."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from harness import kubectl, manifests, probes, waiting

ROOM = "test-shape"
RESTRICTED = {
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
POD = probes.Pod("a-0", ROOM)


@pytest.fixture(scope="module")
def empty_room() -> Iterator[kubectl.Object]:
    """Give the cases a namespace."""
    made = manifests.namespace(ROOM)
    kubectl.apply(made)
    yield made
    kubectl.delete(made)


@pytest.fixture(autouse=True)
def room(empty_room: kubectl.Object) -> Iterator[kubectl.Object]:
    """Give each case the namespace as it was declared, and remove what was made in it."""
    kubectl.apply(empty_room)
    yield copy.deepcopy(empty_room)
    kubectl.clear(ROOM)


@pytest.fixture
def vpn(steady: probes.Tunnel) -> str:
    """Give the name of a tunnel that works."""
    return steady.vpn


def make(vpn: str, *, ready: bool = True, **spec: Any) -> kubectl.Object:
    """Make the app, or change it, and return it."""
    app = manifests.app("a", ROOM, vpn, **spec)
    kubectl.apply(app)
    if ready:
        waiting.eventually(lambda: is_ready(app), "the app is ready")
    return app


def is_ready(app: kubectl.Object) -> bool:
    """Tell whether Ready holds of what the app is now."""
    found = kubectl.get("vpnapp", app["metadata"]["name"], ROOM) or {}
    ready = kubectl.condition("vpnapp", app["metadata"]["name"], "Ready", ROOM)
    generation = found["metadata"]["generation"]
    return (ready.get("status"), ready.get("observedGeneration")) == ("True", generation)


def address() -> str:
    return str((kubectl.get("vpnapp", "a", ROOM) or {})["status"]["address"])


def test_what_an_app_writes_outlives_its_pod_and_the_app_itself(vpn: str) -> None:
    mounts = [{"path": "/config", "size": "16Mi"}]
    app = make(vpn, mounts=mounts)
    POD.python("open('/config/kept', 'w').write('still here')")

    kubectl.delete(app)
    waiting.eventually(lambda: not POD.uid, "its pod is gone")
    assert (kubectl.get("pvc", "a.config", ROOM) or {})["status"]["phase"] == "Bound"

    make(vpn, mounts=mounts)
    assert POD.python("print(open('/config/kept').read())") == "still here"


def test_settings_come_from_config_maps_and_secrets(vpn: str) -> None:
    metadata = {"name": "settings", "namespace": ROOM}
    data = {"COLOUR": "red", "file.conf": "a = 1"}
    kubectl.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data},
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"KEY": "k"}},
    )

    make(
        vpn,
        env=[
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "settings", "key": "KEY"}}},
            {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        envFrom=[{"prefix": "MY_", "configMapRef": {"name": "settings"}}],
        timeZone="Asia/Tokyo",
        mounts=[
            {"path": "/etc/a.conf", "subPath": "file.conf", "configMap": {"name": "settings"}},
            {"path": "/keys", "secret": {"secretName": "settings", "defaultMode": 292}},
        ],
    )

    told = POD.python(
        "import os; e = os.environ;"
        "print(e['SECRET'], e['ME'], e['MY_COLOUR'], e['TZ'], open('/etc/a.conf').read(),"
        "open('/keys/KEY').read(), sep='|')"
    )
    assert told == "k|a-0|red|Asia/Tokyo|a = 1|k"


def test_a_mount_that_cannot_be_is_told_and_mended(vpn: str) -> None:
    make(vpn, ready=False, mounts=[{"path": "/etc/a", "configMap": {"name": "missing"}}])

    def told() -> str:
        message = str(kubectl.condition("vpnapp", "a", "Ready", ROOM).get("message"))
        assert 'configmap "missing" not found' in message, message
        return message

    waiting.eventually(told, "Ready names the ConfigMap", timeout=90)

    make(vpn, mounts=[{"path": "/etc/a", "emptyDir": {}}])


def test_an_app_is_ready_when_its_probe_says_so(vpn: str) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    mounts = [{"path": "/tmp", "emptyDir": {}}]
    app = make(vpn, ready=False, readinessProbe=probe, mounts=mounts)

    waiting.eventually(lambda: POD.container_id, "the app runs")
    kubectl.wait_for_reason("vpnapp", "a", "Ready", "PodNotReady", ROOM)

    POD.python("open('/tmp/ready', 'w')")

    waiting.eventually(lambda: is_ready(app), "the app is ready")


def test_a_suspended_app_keeps_its_address_and_comes_back_with_it(vpn: str) -> None:
    make(vpn)
    before = address()

    make(vpn, ready=False, suspend=True)

    kubectl.wait_for_reason("vpnapp", "a", "Ready", "Suspended", ROOM)
    waiting.eventually(lambda: not POD.uid, "its pod is gone")
    other = manifests.app("b", ROOM, vpn)
    kubectl.apply(other)
    waiting.eventually(lambda: is_ready(other), "another app gets an address meanwhile")

    make(vpn)

    assert address() == before


def test_a_template_adds_what_has_no_field_and_init_containers_find_the_tunnel(
    vpn: str, steady: probes.Tunnel
) -> None:
    ask = f"import urllib.request as r; print(r.urlopen('http://{probes.WHO_AM_I}/').read())"
    container = {"image": image(), "command": ["python3", "-c", ask]}
    spec = {
        "terminationGracePeriodSeconds": 7,
        "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["nas.lan"]}],
        "initContainers": [{"name": "first", **container}],
        "containers": [{"name": "app", "workingDir": "/tmp"}],
    }

    make(vpn, template={"metadata": {"labels": {"team": "home"}}, "spec": spec})

    made = POD.get()
    assert made["spec"]["terminationGracePeriodSeconds"] == 7
    assert made["metadata"]["labels"]["team"] == "home"
    assert [c["name"] for c in made["spec"]["initContainers"]] == ["piavpn-gate", "first"]
    assert POD.python("import os; print(os.getcwd())") == "/tmp"
    assert POD.resolve("nas.lan") == "192.0.2.7"
    assert steady.server_address in kubectl.run("logs", "a-0", "-n", ROOM, "-c", "first")


def test_a_template_that_breaks_the_promise_is_refused_and_the_app_goes_on(vpn: str) -> None:
    make(vpn)
    before = POD.uid

    make(vpn, ready=False, template={"spec": {"hostNetwork": True}})

    refusal = kubectl.wait_for_reason("vpnapp", "a", "Accepted", "TemplateNotAllowed", ROOM)
    assert "spec.template.spec.hostNetwork" in refusal["message"]
    assert POD.uid == before


def test_a_typo_in_a_template_is_told_and_mended(vpn: str) -> None:
    make(vpn, ready=False, template={"spec": {"terminationGracePeriod": 7}})

    refusal = kubectl.wait_for_reason("vpnapp", "a", "Ready", "Refused", ROOM)
    assert "terminationGracePeriod" in refusal["message"]

    make(vpn, template={"spec": {"terminationGracePeriodSeconds": 7}})


def test_a_namespace_under_pod_security_says_what_the_app_lacks_and_takes_it_then(
    vpn: str, room: kubectl.Object
) -> None:
    room["metadata"]["labels"] = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl.apply(room)
    make(vpn, ready=False)

    refusal = kubectl.wait_for_reason("vpnapp", "a", "Ready", "Refused", ROOM)
    assert 'violates PodSecurity "restricted' in refusal["message"]

    hook = {"script": "true"}
    make(vpn, securityContext=RESTRICTED, onExitAddressChanged=hook)


def test_kubectl_rollout_restart_replaces_the_pod_once(vpn: str) -> None:
    make(vpn)
    before = POD.uid

    kubectl.run("rollout", "restart", "statefulset/a", "-n", ROOM)

    waiting.eventually(lambda: POD.uid not in ("", before), "there is another pod")
    kubectl.wait_for("pod", "a-0", "Ready", ROOM)
    after = POD.uid
    kubectl.restart("piavpn-operator", manifests.SYSTEM)
    waiting.eventually(lambda: operator_looked_at("a"), "the new operator has looked at it")
    assert POD.uid == after


def test_neither_the_service_nor_another_operator_replaces_the_pod(vpn: str) -> None:
    ports = [{"name": "web", "port": 8080}]
    make(vpn, ports=ports)
    before = POD.uid

    make(vpn, ports=ports, service={"type": "NodePort", "annotations": {"a": "1"}})
    service = waiting.eventually(lambda: kubectl.get("service", "a", ROOM), "there is a Service")
    waiting.eventually(
        lambda: (kubectl.get("service", "a", ROOM) or {})["spec"]["type"] == "NodePort",
        f"it is a NodePort, and no longer {service}",
    )
    kubectl.restart("piavpn-operator", manifests.SYSTEM)
    waiting.eventually(lambda: operator_looked_at("a"), "the new operator has looked at it")

    assert POD.uid == before


def operator_looked_at(app: str) -> bool:
    """Tell whether the operator that runs now has made a pass over the app: it undoes an edit."""
    label = "app.kubernetes.io/managed-by"
    kubectl.run("label", "statefulset", app, "-n", ROOM, "--overwrite", f"{label}=somebody")

    def is_undone() -> bool:
        made = kubectl.get("statefulset", app, ROOM) or {}
        return bool(made["metadata"]["labels"][label] == "piavpn-operator")

    return waiting.eventually(is_undone, "the operator has put its StatefulSet right")


def image() -> str:
    """Return the image that apps of these tests run."""
    return str(manifests.app("a", ROOM, "none")["spec"]["image"])
