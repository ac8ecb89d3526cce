"""The Kubernetes API as every process here uses it: plain dicts, server-side apply, watches.

A thin layer over the official client's transport. It knows the kinds that this product touches, so
it needs no discovery; and it turns whatever goes wrong into one error.
"""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client import exceptions

from piavpn.kube import answers, requests
from piavpn.kube import watch as watching
from piavpn.kube.kinds import EVENTS, NOT_FOUND, Kind, KubeError, Object, Selection

_REQUEST_TIMEOUT = (5.0, 30.0)  # seconds to connect, to answer
_WATCH_SECONDS = 600
# The API server sends a bookmark about once a minute: silence for longer is a dead connection.
_WATCH_TIMEOUT = (5.0, 90.0)
_FIRST_ERROR, _UNAUTHORIZED = 400, 401
_NO_ANSWER = (
    urllib3.exceptions.HTTPError,
    exceptions.ApiException,
    config.ConfigException,
    OSError,
)


class Cluster:
    """A connection to the API server. All methods may be called from any thread."""

    def __init__(
        self,
        api: client.ApiClient,
        answered: Callable[[], None] = lambda: None,
        load: Callable[[client.Configuration], None] | None = None,
    ) -> None:
        self._api = api
        self._answered = answered
        self._load = load
        """Reads the credentials anew; None where they are the caller's own."""

    @classmethod
    def connect(cls, load: Callable[[client.Configuration], None] | None = None) -> Cluster:
        """Connect as the pod's service account or, outside a cluster, by KUBECONFIG.

        Args:
            load: reads other credentials than these.

        Raises:
            KubeError: there are none.
        """
        load = load or _load
        settings = client.Configuration()
        try:
            load(settings)
        except (config.ConfigException, OSError) as error:
            raise KubeError(0, f"no way to the Kubernetes API: {error}") from error
        settings.retries = False  # callers retry, and log it
        return cls(client.ApiClient(settings), load=load)

    def telling(self, answered: Callable[[], None]) -> Cluster:
        """Return the same connection, which calls `answered` after each answer but a watch's."""
        return Cluster(self._api, answered, self._load)

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """Return the object, or None where there is none."""
        return self._unless_absent("GET", kind.path(namespace, name))

    def list(
        self, kind: Kind, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> list[Object]:
        """Return the objects of a namespace, or of all, that match the selectors."""
        return self.list_with_version(Selection(kind, namespace, labels, fields))[0]

    def apply(self, kind: Kind, body: Object, *, manager: str, force: bool = True) -> Object:
        """Server-side apply `body`: the whole set of fields that `manager` owns."""
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        metadata = body["metadata"]
        path = kind.path(metadata.get("namespace"), metadata["name"])
        return self._request("PATCH", path, query, _typed(kind, body), "apply-patch+yaml")

    def apply_status(self, kind: Kind, body: Object, *, manager: str) -> Object | None:
        """Server-side apply the `status` in `body`; return None where the object is gone.

        Never forced: a forced entry that is dropped later wedges its first owner with 422.
        """
        metadata = body["metadata"]
        path = kind.path(metadata.get("namespace"), metadata["name"]) + "/status"
        query = {"fieldManager": manager, "force": "false"}
        return self._unless_absent("PATCH", path, query, _typed(kind, body), "apply-patch+yaml")

    def patch(self, kind: Kind, name: str, namespace: str | None, body: Object) -> Object | None:
        """Merge `body` into the object; return None where it is gone."""
        path = kind.path(namespace, name)
        return self._unless_absent("PATCH", path, None, body, "merge-patch+json")

    def delete(
        self, kind: Kind, name: str, namespace: str | None = None, *, uid: str | None = None
    ) -> None:
        """Delete the object (only the one with `uid`, if given); absent is fine."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        body["propagationPolicy"] = "Background"
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        self._unless_absent("DELETE", kind.path(namespace, name), None, body)

    def ask(self, kind: Kind, spec: Object) -> Object:
        """Return the `status` of a review: a question that is posted and not kept."""
        body = _typed(kind, {"spec": spec})
        status: Object = self._request("POST", kind.path(), None, body).get("status") or {}
        return status

    def version(self) -> str:
        """Return the API server's own version: `v1.36.3`."""
        return str(self._request("GET", "/version").get("gitVersion", ""))

    def create_event(
        self,
        regarding: Mapping[str, Any],
        *,
        type: str,  # noqa: A002 - the API's word
        reason: str,
        message: str,
        component: str,
    ) -> None:
        """Post an Event about an object given by its apiVersion, kind and metadata."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = regarding["metadata"]
        namespace = metadata.get("namespace") or "default"
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": namespace},
            "involvedObject": {
                "apiVersion": regarding["apiVersion"],
                "kind": regarding["kind"],
                "name": metadata["name"],
                "namespace": metadata.get("namespace"),
                "uid": metadata.get("uid"),
            },
            "type": type,
            "reason": reason,
            "message": message[:1024],
            "source": {"component": component},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self._request("POST", EVENTS.path(namespace), None, body)

    def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        stop: threading.Event,
    ) -> Iterator[tuple[str, Object]]:
        """Yield what happens to the objects until `stop` is set.

        Yields ("ADDED" | "MODIFIED" | "DELETED", object), and ("SYNCED", {}) after each list. It
        lists again by itself after any error; what vanished between two lists is yielded as
        DELETED, with what tells which it is and its labels. The caller may see the same state
        twice, never miss the last one.
        """
        return watching.watch(self, Selection(kind, namespace, labels, fields), stop)

    def lines(
        self, path: str, query: Mapping[str, str], *, follow: bool = False
    ) -> Iterator[bytes]:
        """Yield the lines of an answer that is text, as a container's log, without their ends.

        Args:
            path: of the URL.
            query: its parameters.
            follow: whether the server may be silent for as long as it likes.

        Raises:
            KubeError: the API server refused, or the answer breaks off.
        """
        timeout = (_REQUEST_TIMEOUT[0], None) if follow else _REQUEST_TIMEOUT
        response = self._send("GET", path, query=query, timeout=timeout)
        raw = response.response
        try:
            if response.status >= _FIRST_ERROR:
                raise answers.refused(f"GET {path}", response.status, response.read())
            yield from answers.lines(raw, last=True)
        except urllib3.exceptions.HTTPError as error:
            raise KubeError(0, f"GET {path}: {error}") from error
        finally:
            raw.close()

    def list_with_version(self, selection: Selection) -> tuple[builtins.list[Object], str]:
        """Return the objects and the resource version from which a watch goes on."""
        kind = selection.kind
        answer = self._request("GET", kind.path(selection.namespace), selection.query())
        try:
            items = [_typed(kind, item) for item in answer["items"]]
            return items, answer["metadata"]["resourceVersion"]
        except (KeyError, TypeError) as error:
            raise KubeError(0, f"list of {kind.plural}: the answer is no list") from error

    def stream(self, selection: Selection, version: str) -> Iterator[Object]:
        """Yield the raw lines of one watch request, until the server ends it."""
        query = selection.query() | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        path = selection.kind.path(selection.namespace)
        response = self._send("GET", path, query=query, timeout=_WATCH_TIMEOUT)
        raw = response.response
        try:
            if response.status >= _FIRST_ERROR:
                raise answers.refused(f"watch {path}", response.status, response.read())
            for line in answers.lines(raw):
                yield answers.to_object(line)
        except (ValueError, urllib3.exceptions.HTTPError) as error:
            raise KubeError(0, f"watch {path}: {error}") from error
        finally:
            raw.close()

    def _unless_absent(self, *request: Any) -> Object | None:  # noqa: ANN401 - as _request
        try:
            return self._request(*request)
        except KubeError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content: str = "json",
    ) -> Object:
        response = self._send(method, path, query=query, body=body, content=content)
        try:
            answer = response.read()
            self._answered()
            if response.status >= _FIRST_ERROR:
                raise answers.refused(f"{method} {path}", response.status, answer)
            return answers.to_object(answer)
        except (ValueError, urllib3.exceptions.HTTPError) as error:
            raise KubeError(0, f"{method} {path}: {error}") from error

    def _send(  # noqa: PLR0913 - a request has these parts
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None,
        body: Object | None = None,
        content: str = "json",
        timeout: tuple[float, float | None] = _REQUEST_TIMEOUT,
    ) -> Any:  # noqa: ANN401 - the client's response type is not typed
        headers = {"Accept": "application/json", "Content-Type": f"application/{content}"}

        def answer() -> Any:  # noqa: ANN401 - as above
            request = self._api.param_serialize(  # which may read the service account's token anew
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=dict(headers),
                body=body,
                auth_settings=["BearerToken"],
            )
            code = requests.NO_ANSWER
            try:
                answered = self._api.call_api(*request, _request_timeout=timeout)
                code = str(answered.status)
                return answered
            finally:
                requests.MADE.count(method, path, query or {}, code)

        try:
            response = answer()
            if response.status != _UNAUTHORIZED or self._load is None:
                return response
            # The client reads the token again by the wall clock: not after that was put back.
            response.read()
            self._load(self._api.configuration)
            return answer()
        except _NO_ANSWER as error:
            raise KubeError(0, f"{method} {path}: {error}") from error


def _load(settings: client.Configuration) -> None:
    try:
        config.load_incluster_config(client_configuration=settings)
    except config.ConfigException:
        config.load_kube_config(client_configuration=settings)


def _typed(kind: Kind, body: Object) -> Object:
    return {**body, "apiVersion": kind.api_version, "kind": kind.kind}
