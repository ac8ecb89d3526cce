"""An app's mounts: its pod's volumes, where the app has them, the claims that are made. Pure."""

from __future__ import annotations

import hashlib
import re

from piavpn.api import codec, names, pods, promise, vpnapps
from piavpn.controller import model

_SOURCES = ("persistentVolumeClaim", "hostPath", "nfs", "emptyDir", "configMap", "secret")
_LONGEST_WORD = 40


def volumes(service: vpnapps.VpnServiceContainer) -> list[model.Object]:
    """Return the volumes of the pod that its mounts need."""
    return [
        {"name": _volume_name(mount), **_source(service, mount)} for mount in service.spec.mounts
    ]


def app_mounts(service: vpnapps.VpnServiceContainer) -> list[model.Object]:
    """Return what the app's container mounts, and where."""
    return [_mount(mount) for mount in service.spec.mounts]


def claims(service: vpnapps.VpnServiceContainer) -> list[model.Object]:
    """Return the claims of the mounts that have a size.

    Nobody owns them: what an app has written outlives it, and a new app of its name finds it.
    """
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": claim_name(service, mount),
                "namespace": service.namespace,
                "labels": {
                    "app.kubernetes.io/name": service.name,
                    "app.kubernetes.io/managed-by": "piavpn-operator",
                    names.LABEL_SERVICE: service.name,
                },
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": mount.size}},
                **_storage_class(mount),
            },
        }
        for mount in service.spec.mounts
        if mount.size is not None
    ]


def refusal(service: vpnapps.VpnServiceContainer) -> str:
    """Return which mount would break the promise; empty where none does."""
    for mount in service.spec.mounts:
        path = (mount.host_path or {}).get("path", "")
        if path and promise.opens_the_node(path):
            return (
                f"spec.mounts, path {mount.path}: hostPath {path} opens the whole node to the app, "
                "and no lock holds then: mount a narrower path"
            )
    return ""


def claim_name(service: vpnapps.VpnServiceContainer, mount: pods.Mount) -> str:
    """Return the name of the claim: no app's name has a dot, so no two apps' claims are one."""
    return f"{service.name}.{_word(mount.path)}"


def _source(service: vpnapps.VpnServiceContainer, mount: pods.Mount) -> model.Object:
    if mount.size is not None:
        return {"persistentVolumeClaim": {"claimName": claim_name(service, mount)}}
    said = codec.encode(mount)
    return {name: said[name] for name in _SOURCES if name in said}


def _mount(mount: pods.Mount) -> model.Object:
    found: model.Object = {"name": _volume_name(mount), "mountPath": mount.path}
    if mount.sub_path is not None:
        found["subPath"] = mount.sub_path
    if mount.read_only:
        found["readOnly"] = True
    return found


def _storage_class(mount: pods.Mount) -> model.Object:
    return {"storageClassName": mount.storage_class_name} if mount.storage_class_name else {}


def _volume_name(mount: pods.Mount) -> str:
    return f"mount-{_word(mount.path)}"


def _word(path: str) -> str:
    """Return a name for a path: itself where it is a word already, else cut and made unique."""
    word = re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")
    if path == f"/{word}" and len(word) <= _LONGEST_WORD:
        return word
    digest = hashlib.sha256(path.encode()).hexdigest()[:8]
    return f"{word[:_LONGEST_WORD]}-{digest}".lstrip("-")
