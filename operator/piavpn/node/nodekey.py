"""The node's own WireGuard key, which never leaves it: kept until the node starts anew."""

from __future__ import annotations

import os
import pathlib
import threading

from piavpn.net import wg

_FILE = "key"


class NodeKey:
    """The key of this node, made when it is asked for first."""

    def __init__(self, directory: pathlib.Path) -> None:
        """Take the key of an earlier agent, where there is one.

        Args:
            directory: the mesh's own, on the node; made with the key.
        """
        self._directory = directory
        self._lock = threading.Lock()
        self._pair: wg.KeyPair | None = None

    def pair(self) -> wg.KeyPair:
        """Return the key pair.

        Raises:
            wg.WgError: `wg` failed.
            OSError: the key can be neither read nor kept.
        """
        with self._lock:
            if self._pair is None:
                self._pair = self._kept() or self._made()
            return self._pair

    def _kept(self) -> wg.KeyPair | None:
        try:
            private = (self._directory / _FILE).read_text().strip()
        except FileNotFoundError:
            return None
        try:
            return wg.KeyPair(private=private, public=wg.public_key(private))
        except wg.WgError:
            # What is there is no key; the next one takes its place.
            return None

    def _made(self) -> wg.KeyPair:
        made = wg.generate_keys()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self._directory / f"{_FILE}.new"
        unfinished.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(unfinished, flags, 0o600), "w") as file:
            file.write(f"{made.private}\n")
        unfinished.rename(self._directory / _FILE)
        return made
