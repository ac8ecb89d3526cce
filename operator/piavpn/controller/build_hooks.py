"""What an app's pod has so that the app hears of its port and of its exit address. Pure.

The news are annotations of the pod, which the kubelet shows as files within a fraction of a second
and without any right of the pod's in the API. The hooks' scripts go the same way: a change of one
acts at once and replaces no pod, and the operator needs no ConfigMaps in apps' namespaces.
"""

from __future__ import annotations

import functools
import ipaddress
from importlib import resources

from piavpn.api import codec, names, vpnapps
from piavpn.controller import model

APP = "app"
"""Name of the user's container."""
TOLD_DIRECTORY = "/run/piavpn"
"""Of the app and its hooks: the files forwarded-port and exit-address."""
_HOOK_DIRECTORY = "/run/piavpn-hook"
_SECRET_DIRECTORY = "/run/piavpn-hook-secret"  # noqa: S105 - a path
_TOLD_VOLUME, _SECRET_VOLUME = "piavpn", "piavpn-hook-secret"
_PORT_FILE, _EXIT_FILE = "forwarded-port", "exit-address"
_SCRIPT = ["sh", f"{_HOOK_DIRECTORY}/script"]


def is_told(service: vpnapps.VpnServiceContainer) -> bool:
    """Tell whether the app's pod has the files."""
    return service.spec.receive_forwarded_port is not None or has_hook(service)


def has_hook(service: vpnapps.VpnServiceContainer) -> bool:
    """Tell whether a hook runs beside the app."""
    spec = service.spec
    return spec.on_port_forwarded is not None or spec.on_exit_address_changed is not None


def scripts(service: vpnapps.VpnServiceContainer) -> dict[str, str]:
    """Return the pod's annotations that are the hooks' scripts."""
    port, exit_ = service.spec.on_port_forwarded, service.spec.on_exit_address_changed
    found = {}
    if port is not None and port.script is not None:
        found[names.ANNOTATION_PORT_SCRIPT] = port.script
    if exit_ is not None:
        found[names.ANNOTATION_EXIT_SCRIPT] = exit_.script
    return found


def app_mounts(service: vpnapps.VpnServiceContainer) -> list[model.Object]:
    """Return what the app's container mounts to hear of its port."""
    return [_told_mount()] if is_told(service) else []


def volumes(service: vpnapps.VpnServiceContainer) -> list[model.Object]:
    """Return the volumes of the news, the hooks' scripts and a client's password."""
    if not is_told(service):
        return []
    port, exit_ = service.spec.on_port_forwarded, service.spec.on_exit_address_changed
    told = {
        _PORT_FILE: names.ANNOTATION_FORWARDED_PORT,
        _EXIT_FILE: names.ANNOTATION_EXIT_ADDRESS,
    }
    found = [_annotations(_TOLD_VOLUME, told)]
    if port is not None:
        found += _hook_volumes(names.PORT_HOOK_CONTAINER, names.ANNOTATION_PORT_SCRIPT)
        if port.client_secret_ref is not None:
            found.append(_credentials(port.client_secret_ref))
    if exit_ is not None:
        found += _hook_volumes(names.EXIT_HOOK_CONTAINER, names.ANNOTATION_EXIT_SCRIPT)
    return found


def containers(
    service: vpnapps.VpnServiceContainer, address: ipaddress.IPv4Address, image: str
) -> list[model.Object]:
    """Return the hooks' containers.

    Args:
        service: the app.
        address: its own on the bridge.
        image: ours, for hooks that name no other.
    """
    port, exit_ = service.spec.on_port_forwarded, service.spec.on_exit_address_changed
    found = []
    if port is not None:
        command = _SCRIPT if port.client is None else _client_command(port.client, port)
        hook = _container(names.PORT_HOOK_CONTAINER, [_PORT_FILE, str(address), *command])
        if port.client_secret_ref is not None:
            secret = {"name": _SECRET_VOLUME, "mountPath": _SECRET_DIRECTORY, "readOnly": True}
            hook["volumeMounts"].append(secret)
        found.append(_with_own(hook, port, service, image))
    if exit_ is not None:
        hook = _container(names.EXIT_HOOK_CONTAINER, [_EXIT_FILE, str(address), *_SCRIPT])
        found.append(_with_own(hook, exit_, service, image))
    return found


@functools.cache
def loop() -> str:
    """Return the program of every hook's container."""
    return resources.files(__package__).joinpath("hook.sh").read_text("utf-8")


def _client_command(client: vpnapps.Client, hook: vpnapps.OnPortForwarded) -> list[str]:
    return ["piavpn", "hook", client.value, str(hook.client_port or client.default_port)]


def _container(name: str, arguments: list[str]) -> model.Object:
    return {
        "name": name,
        "command": ["sh", "-c", loop(), name, *arguments],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}},
        "volumeMounts": [
            _told_mount(),
            {"name": name, "mountPath": _HOOK_DIRECTORY, "readOnly": True},
            {"name": f"{name}-tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
        ],
    }


def _with_own(
    container: model.Object,
    hook: vpnapps.OnPortForwarded | vpnapps.OnExitAddressChanged,
    service: vpnapps.VpnServiceContainer,
    image: str,
) -> model.Object:
    """Return a hook's container with what the user says of it."""
    optional = {"env": hook.env, "envFrom": hook.env_from}
    said = {name: codec.encode(v, defaults=False) for name, v in optional.items() if v}
    never_root = hook.image is None or (service.spec.security_context or {}).get("runAsNonRoot")
    if never_root:
        container["securityContext"]["runAsNonRoot"] = True
    return container | {"image": hook.image or image, **said}


def _told_mount() -> model.Object:
    return {"name": _TOLD_VOLUME, "mountPath": TOLD_DIRECTORY, "readOnly": True}


def _hook_volumes(name: str, script: str) -> list[model.Object]:
    files = {"script": script, "app-started": names.ANNOTATION_APP_STARTED}
    return [_annotations(name, files), {"name": f"{name}-tmp", "emptyDir": {"sizeLimit": "16Mi"}}]


def _annotations(name: str, files: dict[str, str]) -> model.Object:
    items = [
        {"path": path, "fieldRef": {"fieldPath": f"metadata.annotations['{annotation}']"}}
        for path, annotation in files.items()
    ]
    return {"name": name, "downwardAPI": {"items": items}}


def _credentials(ref: vpnapps.ClientSecretRef) -> model.Object:
    """Return the Secret's volume; a Secret that is missing is said so by the hook, in its log."""
    keys = {"username": ref.username_key, "password": ref.password_key}
    items = [{"key": key, "path": path} for path, key in keys.items()]
    return {
        "name": _SECRET_VOLUME,
        "secret": {"secretName": ref.name, "optional": True, "items": items},
    }
