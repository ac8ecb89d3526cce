"""PIA's web host in a test's hands: its login, and a list with one server that is here."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from pathlib import Path

import controller_world
import pia_server
from controller_world import TOKEN
from pia_server import Call, Reply

from piavpn.api import piavpns

DEDICATED_IP = {
    "id": "de-frankfurt",
    "dip_token": "DIP0123",
    "ip": "198.18.13.9",
    "cn": "frankfurt412",
    "status": "active",
}


class Front:
    """PIA's login and list, and the TCP port of the one server that the list names."""

    def __init__(self, wireguard_port: int) -> None:
        self.document = copy.deepcopy(controller_world.DOCUMENT)
        self.document["groups"] = {"wg": [{"name": "wireguard", "ports": [wireguard_port]}]}
        (region,) = self.document["regions"]
        region["servers"] = {"wg": [{"ip": pia_server.HOST, "cn": "zurich401"}]}  # type: ignore[index]
        self.calls: list[str] = []
        self.broken: Reply | None = None
        """What every request is answered while PIA is down."""

    def reply(self, call: Call) -> Reply:
        self.calls.append(call.method)
        if self.broken is not None:
            return self.broken
        if call.target == "/dedicated_ip":
            return Reply(200, json.dumps([DEDICATED_IP]))
        if call.method == "POST":
            return Reply(200, json.dumps({"token": TOKEN}))
        return Reply(200, controller_world.signed(self.document))


@contextlib.contextmanager
def serving(front: Front, directory: Path) -> Iterator[piavpns.Endpoints]:
    """Serve `front` for as long as the block; its certificate is made in `directory`."""
    authority = controller_world.AUTHORITY
    certificate = authority.issue(directory, "www", names=(controller_world.LOCAL,))
    with pia_server.serving(certificate, front.reply) as server:
        base = f"https://{pia_server.HOST}:{server.port}"
        yield piavpns.Endpoints(
            token_url=f"{base}/token",
            server_list_url=f"{base}/servers",
            dedicated_ip_url=f"{base}/dedicated_ip",
            server_list_public_key=pia_server.public_pem(controller_world.KEY),
            public_ca_bundle=authority.pem,
        )
