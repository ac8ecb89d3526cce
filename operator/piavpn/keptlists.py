"""The last good server list in the cluster: what outlives the operator while PIA's is not there.

The list is kept as PIA served it, compressed for the sake of a ConfigMap's 1 MiB, and verified
again when it is read: whoever may write ConfigMaps cannot make servers.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import io
import logging
import zlib
from datetime import UTC, datetime

from piavpn import kube
from piavpn.api import codec, names, piavpns
from piavpn.pia import errors, serverlist

log = logging.getLogger(__name__)

LABEL = f"{names.GROUP}/server-list"
"""On the ConfigMap: tells it from others, for its removal with the last PiaVpn that used it."""

_KEY, _TIME_KEY = "list.gz", "time"
_LIMIT = 900_000
"""Bytes after compression and base64: leaves room in a ConfigMap's 1 MiB. PIA's has 25 thousand."""

_LONGEST = 8 * 1024 * 1024
"""Bytes of a list; PIA's has 150 thousand. Whoever may write ConfigMaps cannot fill our memory."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """A list, verified, and when PIA served it."""

    servers: serverlist.ServerList
    time: datetime


def name(endpoints: piavpns.Endpoints) -> str:
    """Return the ConfigMap's name: one for each list, and key that it is verified with."""
    text = f"{endpoints.server_list_url}\n{endpoints.server_list_public_key or ''}"
    return f"piavpn-server-list-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


class KeptLists:
    """Keeps lists in ConfigMaps. What the API server refuses costs a line in the log, no more."""

    def __init__(self, cluster: kube.Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace

    def keep(self, endpoints: piavpns.Endpoints, raw: bytes, now: datetime) -> None:
        """Keep a list that was verified."""
        body = config_map(name(endpoints), self._namespace, raw, now)
        if len(body["binaryData"][_KEY]) > _LIMIT:
            log.warning("server list: too long to be kept for a restart")
            return
        try:
            self._cluster.apply(kube.CONFIG_MAPS, body, manager=names.MANAGER_OPERATOR)
        except kube.KubeError as error:
            log.warning("server list: not kept for a restart: %s", error)

    def load(self, endpoints: piavpns.Endpoints) -> Kept | None:
        """Return the list that was kept; None where there is none that can be trusted."""
        try:
            found = self._cluster.get(kube.CONFIG_MAPS, name(endpoints), self._namespace)
        except kube.KubeError as error:
            log.warning("server list: the kept one cannot be read: %s", error)
            return None
        return read(found, endpoints.server_list_public_key) if found is not None else None


def config_map(config_map_name: str, namespace: str, raw: bytes, now: datetime) -> kube.Object:
    """Return the ConfigMap that keeps `raw`; equal lists give equal text but for the time."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": config_map_name, "namespace": namespace, "labels": {LABEL: "true"}},
        "data": {_TIME_KEY: codec.format_time(now)},
        "binaryData": {_KEY: base64.b64encode(gzip.compress(raw, mtime=0)).decode()},
    }


def read(found: kube.Object, public_key: str | None) -> Kept | None:
    """Return what a ConfigMap keeps, verified with the PEM `public_key` (None: PIA's)."""
    try:
        raw = _unpacked(base64.b64decode(found["binaryData"][_KEY]))
        time = datetime.fromisoformat(found["data"][_TIME_KEY])
        return Kept(serverlist.parse(raw, public_key), time.astimezone(UTC))
    except errors.PiaError as error:
        log.warning("server list: the kept one is refused: %s", error.message)
    except (KeyError, TypeError, ValueError, EOFError, OSError, zlib.error) as error:
        log.warning("server list: the kept one is damaged: %s", error)
    return None


def _unpacked(packed: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        raw = file.read(_LONGEST + 1)
    if len(raw) > _LONGEST:
        raise ValueError(f"it has more than {_LONGEST} bytes")
    return raw
