"""What an app's pod has to hear of its port: written out by hand, as kubectl would show it."""

from __future__ import annotations

from typing import Any

import pytest
from controller_samples import IP, NETWORK, SETTINGS
from test_controller_build_service import built, spec_hash, specified

from piavpn.api import pods, vpnapps
from piavpn.controller import build_hooks, build_service

RECEIVES = vpnapps.ReceiveForwardedPort()
SCRIPT = vpnapps.OnPortForwarded(script="curl localhost:9091/$PORT")
TOLD_MOUNT = {"name": "piavpn", "mountPath": "/run/piavpn", "readOnly": True}
TOLD_VOLUME = {
    "name": "piavpn",
    "downwardAPI": {
        "items": [
            {
                "path": "forwarded-port",
                "fieldRef": {"fieldPath": "metadata.annotations['piavpn.dev/forwarded-port']"},
            },
            {
                "path": "exit-address",
                "fieldRef": {"fieldPath": "metadata.annotations['piavpn.dev/exit-address']"},
            },
        ]
    },
}


def hook_volumes(name: str, script: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "downwardAPI": {
                "items": [
                    {
                        "path": "script",
                        "fieldRef": {"fieldPath": f"metadata.annotations['{script}']"},
                    },
                    {
                        "path": "app-started",
                        "fieldRef": {"fieldPath": "metadata.annotations['piavpn.dev/app-started']"},
                    },
                ]
            },
        },
        {"name": f"{name}-tmp", "emptyDir": {"sizeLimit": "16Mi"}},
    ]


def hook(name: str, *arguments: str, image: str = "piavpn:0.1.0") -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "command": ["sh", "-c", build_hooks.loop(), name, *arguments],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
            "runAsNonRoot": True,
        },
        "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}},
        "volumeMounts": [
            TOLD_MOUNT,
            {"name": name, "mountPath": "/run/piavpn-hook", "readOnly": True},
            {"name": f"{name}-tmp", "mountPath": "/tmp"},
        ],
    }


def template(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = built(specified(**spec))["spec"]["template"]
    return found


def test_an_app_that_receives_a_port_has_it_as_a_file() -> None:
    spec = template(receive_forwarded_port=RECEIVES)["spec"]
    (app,) = spec["containers"]
    assert app["volumeMounts"] == [TOLD_MOUNT]
    assert spec["volumes"] == [TOLD_VOLUME]


def test_a_script_runs_beside_the_app_without_any_right() -> None:
    made = template(receive_forwarded_port=RECEIVES, on_port_forwarded=SCRIPT)
    _, beside = made["spec"]["containers"]
    script = ("forwarded-port", "10.100.0.10", "sh", "/run/piavpn-hook/script")
    assert beside == hook("piavpn-port-hook", *script)
    assert made["spec"]["volumes"] == [
        TOLD_VOLUME,
        *hook_volumes("piavpn-port-hook", "piavpn.dev/on-port-forwarded"),
    ]
    script_text = made["metadata"]["annotations"]["piavpn.dev/on-port-forwarded"]
    assert script_text == "curl localhost:9091/$PORT"


def test_a_script_may_have_its_own_image_environment_and_secrets() -> None:
    own = vpnapps.OnPortForwarded(
        script="true",
        image="alpine:3.22",
        env=(pods.EnvVar("A", "b"),),
        env_from=(pods.EnvFrom(pods.SecretRef("keys")),),
    )
    _, beside = template(receive_forwarded_port=RECEIVES, on_port_forwarded=own)["spec"][
        "containers"
    ]
    assert beside["image"] == "alpine:3.22"
    assert beside["env"] == [{"name": "A", "value": "b"}]
    assert beside["envFrom"] == [{"secretRef": {"name": "keys"}}]


def test_a_client_is_told_by_our_own_program_with_its_password_from_a_secret() -> None:
    client = vpnapps.OnPortForwarded(
        client=vpnapps.Client.TRANSMISSION,
        client_secret_ref=vpnapps.ClientSecretRef("web", "user", "pass"),
    )
    spec = template(receive_forwarded_port=RECEIVES, on_port_forwarded=client)["spec"]
    _, beside = spec["containers"]
    command = ("forwarded-port", "10.100.0.10", "piavpn", "hook", "Transmission", "9091")
    expected = hook("piavpn-port-hook", *command)
    secret = {"mountPath": "/run/piavpn-hook-secret", "readOnly": True}
    expected["volumeMounts"].append({"name": "piavpn-hook-secret", **secret})
    assert beside == expected
    assert spec["volumes"][-1] == {
        "name": "piavpn-hook-secret",
        "secret": {
            "secretName": "web",
            "optional": True,
            "items": [{"key": "user", "path": "username"}, {"key": "pass", "path": "password"}],
        },
    }


def test_a_script_for_another_exit_address_needs_no_port() -> None:
    made = template(on_exit_address_changed=vpnapps.OnExitAddressChanged("echo $EXIT_ADDRESS"))
    _, beside = made["spec"]["containers"]
    script = ("exit-address", "10.100.0.10", "sh", "/run/piavpn-hook/script")
    assert beside == hook("piavpn-exit-hook", *script)
    assert made["spec"]["volumes"] == [
        TOLD_VOLUME,
        *hook_volumes("piavpn-exit-hook", "piavpn.dev/on-exit-address-changed"),
    ]


def test_an_app_that_asks_for_nothing_gets_nothing() -> None:
    spec = template()["spec"]
    assert len(spec["containers"]) == 1
    assert "volumes" not in spec
    assert "volumeMounts" not in spec["containers"][0]


def test_another_script_replaces_no_pod_and_another_image_does() -> None:
    first = specified(receive_forwarded_port=RECEIVES, on_port_forwarded=SCRIPT)
    script = vpnapps.OnPortForwarded(script="other")
    image = vpnapps.OnPortForwarded(script=SCRIPT.script, image="alpine:3.22")
    other = specified(receive_forwarded_port=RECEIVES, on_port_forwarded=script)
    moved = specified(receive_forwarded_port=RECEIVES, on_port_forwarded=image)
    assert spec_hash(built(other)) == spec_hash(built(first))
    assert spec_hash(built(moved)) != spec_hash(built(first))


def test_a_hook_of_a_new_version_replaces_no_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    app = specified(receive_forwarded_port=RECEIVES, on_port_forwarded=SCRIPT)
    newer = build_service.settings.Settings("piavpn-system", "piavpn:0.2.0", "cluster.local", ())
    address = IP("10.100.0.10")
    before = build_service.stateful_set(app, address, NETWORK, SETTINGS)
    monkeypatch.setattr(build_hooks, "loop", lambda: "another program")
    upgraded = build_service.stateful_set(app, address, NETWORK, newer)
    assert "another program" in upgraded["spec"]["template"]["spec"]["containers"][1]["command"]
    assert spec_hash(upgraded) == spec_hash(before)
