"""A computer that uses PIA as PIA's own scripts do: with curl and wg."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import dns.message
import dns.query
import namespaces
import wireguards
from fakepia_world import FakePia

from fakepia import world

USERNAME, PASSWORD = "p1234567", "correct horse"
WEBSITE = "https://www.privateinternetaccess.com"

_links = itertools.count()


@dataclasses.dataclass(frozen=True)
class Answer:
    """What curl got: its own exit status, the HTTP status (0: none) and the body."""

    exit_status: int
    http_status: int
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


@dataclasses.dataclass(frozen=True)
class Computer:
    """A namespace on the stand-in's uplink, its address there and a folder of its own."""

    namespace: namespaces.Namespace
    address: str
    folder: pathlib.Path

    @classmethod
    def attached(
        cls, pia: FakePia, namespace: namespaces.Namespace, folder: pathlib.Path
    ) -> Computer:
        namespaces.tool("curl")
        (folder / "servers.pem").write_text(pia.endpoints.ca_bundle)
        (folder / "public.pem").write_text(pia.endpoints.public_ca_bundle)
        return cls(namespace, pia.attach(namespace), folder)

    def curl(self, *arguments: str, seconds: float = 5) -> Answer:
        command = ["curl", "--silent", "--max-time", f"{seconds}", "--write-out", "\n%{http_code}"]
        with self.namespace.entered():
            done = subprocess.run(
                [*command, *arguments], cwd=self.folder, capture_output=True, text=True, check=False
            )
        body, _, status = done.stdout.rpartition("\n")
        return Answer(done.returncode, int(status), body)

    def website(self, path: str, *arguments: str) -> Answer:
        """Call the website by its name, at the stand-in's address."""
        at = f"www.privateinternetaccess.com::{world.FRONT}:"
        return self.curl(
            "--cacert", "public.pem", "--connect-to", at, *arguments, f"{WEBSITE}{path}"
        )

    def token(self) -> str:
        form = ("--form", f"username={USERNAME}", "--form", f"password={PASSWORD}")
        return str(self.website("/api/client/v2/token", *form).json()["token"])

    def add_key(
        self, server: world.Server, token: str, public_key: str, *, seconds: float = 5
    ) -> Answer:
        return self.curl(
            *("--get", "--cacert", "servers.pem"),
            *("--connect-to", f"{server.cn}::{server.address}:"),
            *("--data-urlencode", f"pt={token}", "--data-urlencode", f"pubkey={public_key}"),
            f"https://{server.cn}:1337/addKey",
            seconds=seconds,
        )

    @contextlib.contextmanager
    def tunnel(self, server: world.Server) -> Iterator[dict[str, Any]]:
        """Have a tunnel by `server` for the Internet's addresses; give what addKey told."""
        private = self.namespace.run("wg genkey").strip()
        public = self.namespace.run(f"echo {private} | wg pubkey").strip()
        told = dict(self.add_key(server, self.token(), public).json())
        link = f"pc{os.getpid()}x{next(_links)}"
        with self._link(link):
            self._configure(link, private, told)
            yield told

    def who_am_i(self, *, seconds: float = 5) -> str | None:
        """Ask the Internet by HTTP for the address it sees; None: it does not answer."""
        answer = self.curl(f"http://{world.WHOAMI}/", seconds=seconds)
        return answer.body.strip() or None

    def resolve(self, name: str, kind: str, resolver: str, *, tcp: bool = False) -> list[str]:
        """Ask a resolver; give the records as text."""
        ask = dns.query.tcp if tcp else dns.query.udp
        with self.namespace.entered():
            response = ask(dns.message.make_query(name, kind), resolver, timeout=5)
        return [record.to_text() for rrset in response.answer for record in rrset]

    @contextlib.contextmanager
    def _link(self, name: str) -> Iterator[None]:
        if wireguards.in_kernel():
            self.namespace.run(f"ip link add {name} type wireguard")
            yield
            self.namespace.run(f"ip link del {name}")
            return
        control = pathlib.Path("/run/wireguard", f"{name}.sock")
        command = ("env", "WG_PROCESS_FOREGROUND=1", namespaces.tool("wireguard-go"), "-f", name)
        try:
            with self.namespace.process(*command):
                namespaces.eventually(control.exists, what="wireguard-go")
                yield
        finally:
            # Killed, wireguard-go leaves its socket behind.
            control.unlink(missing_ok=True)

    def _configure(self, link: str, private: str, told: dict[str, Any]) -> None:
        endpoint = f"{told['server_ip']}:{told['server_port']}"
        self.namespace.run(
            f"echo {private} | wg set {link} private-key /dev/stdin peer {told['server_key']}"
            f" endpoint {endpoint} allowed-ips 0.0.0.0/0"
        )
        self.namespace.run(f"ip address add {told['peer_ip']}/32 dev {link}")
        self.namespace.run(f"ip link set {link} mtu 1420 up")
        for destination in (world.WHOAMI, told["server_vip"], world.TUNNEL_ADDRESSES):
            self.namespace.run(f"ip route add {destination} dev {link}")
