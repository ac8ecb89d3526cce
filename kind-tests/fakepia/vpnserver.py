"""One VPN server: its registration API and its peers."""

import datetime as dt
import logging
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from fakepia import accounts, dedicated, failures, namespaces, tls, web, wireguard, world

_log = logging.getLogger(__name__)

_REMEMBERED_CALLS = 1000


@dataclass(frozen=True, slots=True)
class Peer:
    """A registered key of an account and its address in the tunnel."""

    account: str
    public_key: str
    address: IPv4Address
    registered: dt.datetime


@dataclass(frozen=True, slots=True)
class AddKeyRecord:
    """One call of addKey: when, from which address, and how it ended."""

    time: dt.datetime
    source: str
    result: str


class VpnServer:
    """A server's memory and the application on its API port. A reboot would lose all of it."""

    def __init__(
        self,
        server: world.Server,
        namespace: namespaces.Namespace,
        known: accounts.Accounts,
        switchboard: failures.Switchboard,
        contexts: tls.ServerContexts,
    ) -> None:
        self.server = server
        self.namespace = namespace
        self.link = wireguard.Link(namespace, server)
        self._accounts = known
        self._switchboard = switchboard
        self._contexts = contexts
        self._lock = threading.Lock()
        self._peers: dict[str, Peer] = {}
        self._calls: list[AddKeyRecord] = []
        self._addresses = _endless_addresses(server)

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The registered peers, one of each account at most."""
        return tuple(self._peers.values())

    @property
    def calls(self) -> tuple[AddKeyRecord, ...]:
        """The latest calls of addKey, oldest first."""
        return tuple(self._calls)

    def context(self) -> ssl.SSLContext:
        """Give the face that the server shows at this moment."""
        match self._switchboard.current.add_key_at(self.server):
            case failures.AddKey.WRONG_CN:
                return self._contexts.wrong_cn
            case failures.AddKey.EXPIRED_CERT:
                return self._contexts.expired
            case _:
                return self._contexts.genuine

    def __call__(self, request: web.Request) -> web.Reply | None:
        """Answer a request on the API port."""
        if (request.method, request.path) != ("GET", "/addKey"):
            return web.text_reply("404 page not found", status=404)
        reply, result = self._add_key(request)
        now = dt.datetime.now(dt.UTC)
        with self._lock:
            record = AddKeyRecord(now, request.client, result)
            self._calls = [*self._calls, record][-_REMEMBERED_CALLS:]
        _log.info("addKey at %s from %s: %s", self.server.cn, request.client, result)
        return reply

    def forget_peers(self) -> int:
        """Lose all peers, as a reboot does, and give their number."""
        with self._lock:
            peers = self.peers
            for peer in peers:
                self.link.remove_peer(peer.public_key)
            self._peers.clear()
        return len(peers)

    def forget_calls(self) -> None:
        """Forget the calls of addKey."""
        with self._lock:
            self._calls = []

    def _add_key(self, request: web.Request) -> tuple[web.Reply | None, str]:
        match self._switchboard.current.add_key_at(self.server):
            case failures.AddKey.HANG as failing:
                self._switchboard.wait_while(lambda now: now.add_key_at(self.server) is failing)
                return None, failing
            case failures.AddKey.HTTP_500 as failing:
                return web.server_error(), failing
            case failures.AddKey.LOGIN_FAILED as failing:
                return self._login_failed(), failing
        account = self._accounts.owner(request.query.get("pt", "")) or dedicated.holder(
            request.headers.get("authorization", ""), self.server
        )
        if account is None:
            return self._login_failed(), failures.AddKey.LOGIN_FAILED
        public_key = request.query.get("pubkey", "")
        if not wireguard.is_public_key(public_key):
            document = {"status": "ERROR", "message": "Invalid public key"}
            return web.json_reply(document, status=400), "invalid_public_key"
        return web.json_reply(self._registration(self._register(account, public_key))), "ok"

    def _register(self, account: str, public_key: str) -> Peer:
        """Register the key in the place of the account's former one: each has one per server."""
        now = dt.datetime.now(dt.UTC)
        with self._lock:
            former = self._peers.pop(account, None)
            if former is not None:
                self.link.remove_peer(former.public_key)
            taken = {peer.address for peer in self._peers.values()}
            address = next(one for one in self._addresses if one not in taken)
            self.link.add_peer(public_key, address)
            peer = Peer(account, public_key, address, now)
            self._peers[account] = peer
        return peer

    def _registration(self, peer: Peer) -> dict[str, object]:
        return {
            "status": "OK",
            "server_key": self.link.public_key,
            "server_port": world.WIREGUARD_PORT,
            "server_ip": str(self.server.address),
            "server_vip": str(self.server.vip),
            "peer_ip": str(peer.address),
            "peer_pubkey": peer.public_key,
            "dns_servers": [str(resolver) for resolver in world.RESOLVERS],
        }

    def _login_failed(self) -> web.Reply:
        document = {"status": "ERROR", "message": "Login failed!"}
        return web.json_reply(document, status=self.server.login_failed_status)


def _endless_addresses(server: world.Server) -> Iterator[IPv4Address]:
    """Go round the peers' range: a new registration gets another address than the last one."""
    while True:
        yield from server.peers.hosts()
