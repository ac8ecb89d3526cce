"""Puts all of it up: the router, the website, the Internet's services and the VPN servers."""

import datetime as dt
import logging
import socket

from fakepia import (
    accounts,
    failures,
    front,
    identity,
    internet,
    leaks,
    names,
    portforward,
    tls,
    topology,
    vpnserver,
    web,
    world,
)

_log = logging.getLogger(__name__)


class VpnSite:
    """A VPN server with everything that runs beside it."""

    def __init__(
        self,
        server: vpnserver.VpnServer,
        resolver: names.Resolver,
        port_forwarding: portforward.PortForwarding,
    ) -> None:
        self.server = server
        self.resolver = resolver
        self.port_forwarding = port_forwarding

    def start(self) -> None:
        """Answer at the server's addresses."""
        facts, namespace, context = self.server.server, self.server.namespace, self.server.context
        web.serve(namespace.listen(facts.address, world.API_PORT), self.server, context)
        self.resolver.start()
        if world.forwards_ports(facts):
            # PIA's own script calls the public address, through the tunnel; it tells its peers by
            # their addresses.
            for address in (facts.vip, facts.address):
                listener = namespace.listen(address, world.PORT_FORWARD_PORT)
                web.serve(listener, self.port_forwarding, context)


class Stage:
    """The whole stand-in, running."""

    def __init__(self, keys: identity.Identity, uplink: str) -> None:
        """Put it up.

        Raises:
            namespaces.CommandError: a program that is needed is missing or refuses.
            OSError: the process lacks a privilege, or an address is taken.
        """
        self.identity = keys
        self.accounts = accounts.Accounts()
        self.router = topology.Router(uplink)
        self.leaks = leaks.Detector(self.router.namespace)
        self.switchboard = failures.Switchboard(self._block)
        self.ports = portforward.PortBook(keys.port_forward_key)
        self._start_front()
        self.internet = self.router.join_internet()
        internet.start(self.internet)
        self.sites = tuple(self._vpn_site(server) for server in world.SERVERS)
        for site in self.sites:
            site.start()

    def site(self, cn: str) -> VpnSite:
        """Give the site of the server named `cn`.

        Raises:
            ValueError: there is none.
        """
        for site in self.sites:
            if site.server.server.cn == cn:
                return site
        raise ValueError(f"no server is called {cn!r}")

    def reset(self) -> None:
        """Take failures and records away. Tokens, peers and tunnels stay as they are."""
        self.switchboard.clear()
        self.accounts.reset()
        self.leaks.reset()
        self.ports.lifetimes = portforward.Lifetimes()
        for site in self.sites:
            site.server.forget_calls()

    def close(self) -> None:
        """Take it down; the namespaces end with the process."""
        for site in self.sites:
            site.server.link.close()
        self.router.remove()

    def _start_front(self) -> None:
        site = self.router.join("front", world.FRONT)
        application = front.Front(
            self.accounts, self.switchboard, self.identity.list_key, self._is_reached
        )
        context = tls.front_context(self.identity, _now())
        web.serve(site.listen(world.FRONT, world.FRONT_PORT), application, lambda: context)

    def _is_reached(self, address: str, port: int) -> bool:
        """Tell whether the Internet gets through to an address and port by TCP."""
        try:
            with self.internet.connect(address, port, socket.SOCK_STREAM):
                return True
        except OSError:
            return False

    def _vpn_site(self, facts: world.Server) -> VpnSite:
        namespace = self.router.join_server(facts)
        contexts = tls.server_contexts(facts, self.identity, _now())
        server = vpnserver.VpnServer(facts, namespace, self.accounts, self.switchboard, contexts)
        forwarding = portforward.PortForwarding(server, self.ports, self.accounts, self.switchboard)
        _log.info("%s at %s", facts.cn, facts.address)
        return VpnSite(server, names.Resolver(namespace), forwarding)

    def _block(self, failing: failures.Failures) -> None:
        struck = {server: failing.server_at(server) for server in world.SERVERS}
        dead = [one for one, fate in struck.items() if fate is failures.Server.DEAD]
        isolated = [one for one, fate in struck.items() if fate is failures.Server.ISOLATED]
        refusing = [
            server
            for server in world.SERVERS
            if failing.add_key_at(server) is failures.AddKey.REFUSE
        ]
        self.router.block(dead, isolated, refusing)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
