"""Puts the namespaces together: a router with a link to each site, and nothing else.

The router is the namespace that the program was started in. Its `uplink` leads to the clients.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address

from fakepia import namespaces, rules, world

_GATEWAY = "169.254.1.1"
"""The router's end of every link. Link-local, so that all sites can have the same."""


class Router:
    """The Internet's router and the sites behind it."""

    def __init__(self, uplink: str) -> None:
        """Set the router up.

        Raises:
            namespaces.CommandError: there is no such uplink, or nft or ip refuses.
        """
        self.namespace = namespaces.current("router")
        self.namespace.run("ip", "link", "show", "dev", uplink)
        self._remove_links()
        self.namespace.set_sysctl("ipv4/ip_forward", 1)
        self._nft(rules.router(uplink))
        self.namespace.run("ip", "route", "replace", "unreachable", str(world.INTERNET))

    def join(self, name: str, address: IPv4Address) -> namespaces.Namespace:
        """Make a site with the public address `address` and an `eth0` that leads to the router."""
        site = namespaces.create(name)
        device = f"pia-{name}"
        self._ip(
            f"link add {device} type veth peer name eth0 netns {site.path}",
            f"address add {_GATEWAY}/32 dev {device}",
            f"link set {device} up",
            f"route add {address}/32 dev {device}",
        )
        commands = (
            "link set lo up",
            f"address add {address}/32 dev eth0",
            "link set eth0 up",
            f"route add {_GATEWAY} dev eth0 scope link",
            f"route add default via {_GATEWAY} dev eth0 src {address}",
        )
        site.run("ip", "-batch", "-", stdin=namespaces.ip_batch(commands))
        return site

    def join_internet(self) -> namespaces.Namespace:
        """Make the site of the who-am-I services, which has the documentation addresses too."""
        site = self.join("internet", world.WHOAMI)
        for network in world.DOCUMENTATION:
            self._ip(f"route replace {network} dev pia-internet")
            site.run("ip", "route", "add", "local", str(network), "dev", "lo")
        return site

    def join_server(self, server: world.Server) -> namespaces.Namespace:
        """Make the site of a VPN server, still without its WireGuard link."""
        site = self.join(str(server.number), server.address)
        site.set_sysctl("ipv4/ip_forward", 1)
        site.run("nft", "-f", "-", stdin=rules.server(server))
        resolvers = (*world.RESOLVERS, world.FILTERING_RESOLVER)
        site.run(
            "ip",
            "-batch",
            "-",
            stdin=namespaces.ip_batch([f"address add {one}/32 dev lo" for one in resolvers]),
        )
        return site

    def block(
        self,
        dead: Iterable[world.Server],
        isolated: Iterable[world.Server],
        refusing: Iterable[world.Server],
    ) -> None:
        """Make exactly these servers silent, without a way out, or without an API (`refusing`)."""
        self._nft(rules.blocked(dead, isolated, refusing))

    def remove(self) -> None:
        """Take down what was set up here; the sites end with the process."""
        self._nft("delete table inet fakepia")
        self._ip(f"route del unreachable {world.INTERNET}")
        self._remove_links()

    def _remove_links(self) -> None:
        shown = self.namespace.run("ip", "-oneline", "link", "show", "type", "veth")
        links = re.findall(r"^\d+: (pia-[^:@]+)", shown, re.MULTILINE)
        self._ip(*(f"link del {link}" for link in links))

    def _ip(self, *commands: str) -> None:
        self.namespace.run("ip", "-batch", "-", stdin=namespaces.ip_batch(commands))

    def _nft(self, change: str) -> None:
        self.namespace.run("nft", "-f", "-", stdin=change)
