"""Torrent clients are told their port by their own web interfaces, and what they refuse is told."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import pathlib
import socket
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pia_server import Call, Reply, running

from piavpn.hook import main, news

Answering = Callable[[Call], Reply]


class Server(http.server.ThreadingHTTPServer):
    """A client's web interface: `reply` answers, and all calls are remembered."""

    def __init__(self, reply: Answering) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.calls: list[Call] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(self.command, self.path, headers, body)
        self.server.calls.append(call)
        reply = self.server.reply(call)
        raw = reply.body.encode() if isinstance(reply.body, str) else reply.body
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@contextlib.contextmanager
def serving(reply: Answering) -> Iterator[Server]:
    with Server(reply) as server, running(server):
        yield server


@pytest.fixture
def secret(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "username").write_text("admin\n")
    (tmp_path / "password").write_text("a&b=c \n")
    return tmp_path


def tell(client: str, server: Server, secret: pathlib.Path, port: int | None = None) -> int:
    """Tell the client its web interface's own port, which is one that somebody listens on."""
    told = {"PORT": str(port or server.port), "TARGET_IP": "10.100.0.10"}
    return main.run([client, str(server.port)], told, secret)


@dataclasses.dataclass
class QBittorrent:
    """Answers as qBittorrent 4.5 does."""

    port: int = 6881
    takes: bool = True
    login: Reply = dataclasses.field(
        default_factory=lambda: Reply(200, "Ok.", {"Set-Cookie": "SID=abc; HttpOnly; path=/"})
    )
    changes: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def __call__(self, call: Call) -> Reply:
        if call.target == "/api/v2/auth/login":
            wanted = {"username": ["admin"], "password": ["a&b=c "]}
            assert urllib.parse.parse_qs(call.body) == wanted
            return self.login
        if call.headers.get("cookie") != "SID=abc":
            return Reply(403, "Forbidden")
        if call.target == "/api/v2/app/preferences":
            return Reply(200, json.dumps({"listen_port": self.port}))
        change = json.loads(urllib.parse.parse_qs(call.body)["json"][0])
        self.changes.append(change)
        self.port = change["listen_port"] if self.takes else self.port
        return Reply(200)


def test_qbittorrent_is_told_its_port_and_bound_to_the_tunnels_link(secret: pathlib.Path) -> None:
    client = QBittorrent()
    with serving(client) as server:
        assert tell("qBittorrent", server, secret) == 0
        port = server.port
    assert client.changes == [
        {
            "listen_port": port,
            "random_port": False,
            "upnp": False,
            "current_network_interface": "vpn0",
        }
    ]


def test_a_port_that_qbittorrent_has_already_is_changed_and_changed_back(
    secret: pathlib.Path,
) -> None:
    client = QBittorrent()
    with serving(client) as server:
        client.port = server.port
        assert tell("qBittorrent", server, secret) == 0
        assert [change["listen_port"] for change in client.changes] == [
            server.port - 1,
            server.port,
        ]


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (Reply(200, "Fails."), "refuses user name or password"),
        (Reply(401), "refuses user name or password"),
        (Reply(403, "Your IP address has been banned"), "banned this pod"),
    ],
)
def test_a_refused_login_at_qbittorrent_is_not_tried_again(
    secret: pathlib.Path, capsys: pytest.CaptureFixture[str], login: Reply, said: str
) -> None:
    with serving(QBittorrent(login=login)) as server:
        assert tell("qBittorrent", server, secret) == 78
        assert len(server.calls) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "a&b=c" not in err


def test_qbittorrent_without_a_secret_is_tried_without_a_login(tmp_path: pathlib.Path) -> None:
    with serving(QBittorrent()) as server:
        assert tell("qBittorrent", server, tmp_path) == 78
        assert [call.target for call in server.calls] == ["/api/v2/app/preferences"]


def test_a_port_that_a_client_does_not_take_is_tried_again(secret: pathlib.Path) -> None:
    with serving(QBittorrent(takes=False)) as server:
        assert tell("qBittorrent", server, secret) == 1


def test_a_port_on_which_nobody_listens_was_not_told(
    secret: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "_LISTEN_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with serving(QBittorrent()) as server:
        assert tell("qBittorrent", server, secret, port) == 1


@pytest.mark.parametrize("client", ["qBittorrent", "Transmission", "Deluge"])
def test_a_client_that_does_not_answer_yet_is_tried_again(
    client: str, secret: pathlib.Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    told = {"PORT": "45678", "TARGET_IP": "10.100.0.10"}
    assert main.run([client, str(port)], told, secret) == 1


@dataclasses.dataclass
class Transmission:
    """Answers as Transmission 3 does."""

    authorization: str = "Basic YWRtaW46YSZiPWMg"
    port: int = 51413

    def __call__(self, call: Call) -> Reply:
        if call.headers.get("authorization") != self.authorization:
            return Reply(401, "<h1>401: Unauthorized</h1>")
        if call.headers.get("x-transmission-session-id") != "id-1":
            return Reply(409, "", {"X-Transmission-Session-Id": "id-1"})
        asked = json.loads(call.body)
        if asked["method"] == "session-set":
            assert asked["arguments"].keys() == {
                "peer-port",
                "peer-port-random-on-start",
                "port-forwarding-enabled",
            }
            self.port = asked["arguments"]["peer-port"]
        return Reply(200, json.dumps({"result": "success", "arguments": {"peer-port": self.port}}))


def test_transmission_is_told_its_port(secret: pathlib.Path) -> None:
    client = Transmission()
    with serving(client) as server:
        assert tell("Transmission", server, secret) == 0
        assert client.port == server.port


def test_a_refused_login_at_transmission_is_not_tried_again(secret: pathlib.Path) -> None:
    with serving(Transmission(authorization="Basic another")) as server:
        assert tell("Transmission", server, secret) == 78
        assert len(server.calls) == 1


@dataclasses.dataclass
class Deluge:
    """Answers as Deluge 2's web interface does, which is not connected to its daemon yet."""

    password: str = "a&b=c "
    connected: bool = False
    config: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __call__(self, call: Call) -> Reply:
        asked = json.loads(call.body)
        if asked["method"] == "auth.login":
            fits = asked["params"] == [self.password]
            cookie = {"Set-Cookie": "_session_id=xyz; Path=/json"} if fits else {}
            return Reply(200, json.dumps({"result": fits, "error": None}), cookie)
        assert call.headers["cookie"] == "_session_id=xyz"
        return Reply(200, json.dumps({"result": self._result(asked), "error": None}))

    def _result(self, asked: dict[str, Any]) -> Any:
        match asked["method"]:
            case "web.connected":
                return self.connected
            case "web.get_hosts":
                return [["host-1", "127.0.0.1", 58846, "localclient"]]
            case "web.connect":
                self.connected = asked["params"] == ["host-1"]
            case "core.set_config":
                self.config = asked["params"][0]
            case "core.get_listen_port":
                return self.config["listen_ports"][0]
        return None


def test_deluge_is_told_its_port_and_its_address_in_the_tunnel(secret: pathlib.Path) -> None:
    client = Deluge()
    with serving(client) as server:
        assert tell("Deluge", server, secret) == 0
        assert client.config == {
            "random_port": False,
            "listen_ports": [server.port, server.port],
            "listen_interface": "10.100.0.10",
            "outgoing_interface": "vpn0",
            "upnp": False,
            "natpmp": False,
        }


def test_a_refused_password_at_deluge_is_not_tried_again(secret: pathlib.Path) -> None:
    with serving(Deluge(password="another")) as server:
        assert tell("Deluge", server, secret) == 78
        assert len(server.calls) == 1


def test_a_listener_is_known_by_port_and_state(tmp_path: pathlib.Path) -> None:
    (tmp_path / "tcp").write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue\n"
        "   0: 0A00640A:B26E 00000000:0000 0A 00000000:00000000\n"
        "   1: 0A00640A:1F90 0100007F:C350 01 00000000:00000000\n"
    )
    assert news.listens(45678, tmp_path)
    assert not news.listens(8080, tmp_path)
