"""kubectl, as a user has it."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any

from harness import waiting

Object = dict[str, Any]

_MADE = "statefulsets,pods,services,persistentvolumeclaims,configmaps,secrets,events"


class KubectlError(AssertionError):
    """kubectl said no; its message is what a user would read."""


def run(*arguments: str, stdin: str | None = None, timeout: float = 120.0) -> str:
    """Run kubectl and return its standard output.

    Raises:
        KubectlError: it failed.
    """
    command = ("kubectl", *arguments)
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode != 0:
        raise KubectlError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def apply(*objects: Object) -> None:
    """Apply objects."""
    run("apply", "-f", "-", stdin=_as_list(objects))


def delete(*objects: Object) -> None:
    """Delete objects and wait until they are gone."""
    run(
        "delete", "--ignore-not-found", "--timeout=120s", "-f", "-",
        stdin=_as_list(objects), timeout=150,
    )  # fmt: skip


def clear(namespace: str) -> None:
    """Delete all that was made in a namespace and wait until it is gone.

    The namespace stays: for the end of one, however empty, Kubernetes takes five seconds.
    """
    run("delete", "vpnapp", "--all", "-n", namespace)
    # What every namespace has would be made anew, too late for the pods of the next case.
    run(
        "delete", _MADE, "-n", namespace, "--field-selector=metadata.name!=kube-root-ca.crt",
        "--timeout=120s", timeout=150,
    )  # fmt: skip


def get(
    kind: str, name: str, namespace: str | None = None, *, show_managed_fields: bool = False
) -> Object | None:
    """Return an object, or None where there is none."""
    more = ("--show-managed-fields",) if show_managed_fields else ()
    found = run("get", kind, name, *_in(namespace), "--ignore-not-found", "-o", "json", *more)
    return json.loads(found) if found.strip() else None


def items(kind: str, *arguments: str) -> list[Object]:
    """Return the objects that `kubectl get` lists."""
    found: list[Object] = json.loads(run("get", kind, *arguments, "-o", "json"))["items"]
    return found


def execute(pod: str, namespace: str, container: str, *command: str) -> str:
    """Run a command in a container and return its standard output."""
    return run("exec", "-n", namespace, pod, "-c", container, "--", *command)


def wait_for(
    kind: str, name: str, condition: str, namespace: str | None = None, *, seconds: int = 90
) -> None:
    """Wait as a user does: `kubectl wait --for condition=...`."""
    run(
        "wait", f"{kind}/{name}", *_in(namespace),
        f"--for=condition={condition}", f"--timeout={seconds}s",
        timeout=seconds + 30,
    )  # fmt: skip


def condition(kind: str, name: str, type_: str, namespace: str | None = None) -> Object:
    """Return a condition of an object; an empty one while there is none."""
    found = get(kind, name, namespace) or {}
    listed = (found.get("status") or {}).get("conditions") or []
    return next((item for item in listed if item["type"] == type_), {})


def wait_for_reason(
    kind: str, name: str, type_: str, reason: str, namespace: str | None = None
) -> Object:
    """Wait until a condition is False for this reason and return it."""

    def check() -> Object:
        found = condition(kind, name, type_, namespace)
        assert (found.get("status"), found.get("reason")) == ("False", reason), found
        return found

    return waiting.eventually(check, f"{kind}/{name} {type_}=False {reason}")


def restart(deployment: str, namespace: str) -> None:
    """Replace the pod of a Deployment and wait until the new one is ready."""
    run("rollout", "restart", f"deployment/{deployment}", "-n", namespace)
    run("rollout", "status", f"deployment/{deployment}", "-n", namespace, "--timeout=90s")


@contextlib.contextmanager
def cordoned(node: str) -> Iterator[None]:
    """Have no new pod come to the node for the time of a block."""
    run("cordon", node)
    try:
        yield
    finally:
        run("uncordon", node)


def _in(namespace: str | None) -> tuple[str, ...]:
    return ("-n", namespace) if namespace else ()


def _as_list(objects: tuple[Object, ...]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
