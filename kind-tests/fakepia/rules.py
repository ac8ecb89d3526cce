"""The nft rules of the router and of the servers, as text made from data."""

from collections.abc import Iterable
from ipaddress import IPv4Address

from fakepia import world

SITES = "pia-*"
"""The router's links to its sites: servers, website, Internet."""

MEMORY_SECONDS = 86400
"""How long a leak is remembered. The rest of it tells when the leak was first seen."""


def router(uplink: str) -> str:
    """Give the rules of the router, whose link to the clients is `uplink`.

    What enters by the uplink for an address behind the router is a leak, unless it goes to one of
    the entry points, which clients use without a tunnel. Leaks are counted and then let through:
    a leak that got no answer would look like a confined client. Nothing begins a connection
    towards the uplink, so nothing can leave for the real Internet.
    """
    flow = "ip saddr . ip daddr . meta l4proto"
    # `add` and `delete` first: the table of an earlier run is replaced.
    return f"""
add table inet fakepia
delete table inet fakepia
table inet fakepia {{
  counter leaked {{ }}
  set entry_points {{
    type ipv4_addr . inet_proto . inet_service
    elements = {{ {_entry_points()} }}
  }}
  set leaks {{
    type ipv4_addr . ipv4_addr . inet_proto . inet_service . inet_service
    flags dynamic,timeout; timeout {MEMORY_SECONDS}s; size 65535
  }}
  set leaks_without_ports {{
    type ipv4_addr . ipv4_addr . inet_proto
    flags dynamic,timeout; timeout {MEMORY_SECONDS}s; size 65535
  }}
  set leaks_ipv6 {{
    type ipv6_addr . ipv6_addr . inet_proto
    flags dynamic,timeout; timeout {MEMORY_SECONDS}s; size 65535
  }}
  set dead {{ type ipv4_addr; }}
  set isolated {{ type ipv4_addr; }}
  set refusing {{ type ipv4_addr; }}

  # After conntrack, which has put fragments together.
  chain arriving {{
    type filter hook prerouting priority mangle; policy accept;
    iifname != "{uplink}" accept
    fib daddr type {{ local, broadcast, multicast }} accept
    ip daddr . meta l4proto . th dport @entry_points accept
    # A client that went away has its node refuse what a server still sends to it.
    meta l4proto {{ icmp, icmpv6 }} ct state related accept
    counter name leaked
    meta nfproto ipv6 add @leaks_ipv6 {{ ip6 saddr . ip6 daddr . meta l4proto counter }}
    ip protocol {{ tcp, udp }} add @leaks {{ {flow} . th sport . th dport counter }}
    ip protocol != {{ tcp, udp }} add @leaks_without_ports {{ {flow} counter }}
  }}

  chain forward {{
    type filter hook forward priority filter; policy drop;
    ip saddr @dead drop
    ip daddr @dead drop
    ip saddr @isolated ct direction original drop
    ip daddr @refusing tcp dport {world.API_PORT} reject with tcp reset
    oifname "{SITES}" accept
    iifname "{SITES}" ct direction reply accept
    iifname "{SITES}" ct state related accept
    iifname "{SITES}" reject with icmpx type no-route
  }}
}}
"""


def blocked(
    dead: Iterable[world.Server],
    isolated: Iterable[world.Server],
    refusing: Iterable[world.Server],
) -> str:
    """Give the change that makes exactly these servers so."""
    changes = {"dead": dead, "isolated": isolated, "refusing": refusing}
    return "".join(_refill(name, servers) for name, servers in changes.items())


def forget_leaks() -> str:
    """Give the change that empties the leak detector."""
    return """
reset counter inet fakepia leaked
flush set inet fakepia leaks
flush set inet fakepia leaks_without_ports
flush set inet fakepia leaks_ipv6
"""


def server(server: world.Server) -> str:
    """Give the rules of a server: the way out bears its address, the way in takes a port."""
    return f"""
table inet fakepia {{
  map forwarded {{ type inet_proto . inet_service : ipv4_addr; flags timeout; }}
  # Nobody on the Internet has them. Some lead to what this container is on its own network.
  set private {{
    type ipv4_addr; flags interval
    elements = {{ {world.TUNNEL_ADDRESSES}, 172.16.0.0/12, 192.168.0.0/16 }}
  }}

  chain inbound {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname "eth0" dnat ip to meta l4proto . th dport map @forwarded
  }}
  chain outgoing {{
    type nat hook postrouting priority srcnat; policy accept;
    iifname "{server.link}" oifname "eth0" snat ip to {server.address}
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    iifname "{server.link}" oifname "eth0" ip daddr != @private accept
    oifname "{server.link}" iifname "eth0" ct direction reply accept
    oifname "{server.link}" ct state related accept
    oifname "{server.link}" ct status dnat accept
    iifname "{server.link}" reject with icmpx type no-route
  }}
}}
"""


def forward_port(port: int, before: str, peer: IPv4Address, seconds: int) -> str:
    """Give the change that sends `port` to `peer` for the next `seconds`, by TCP and UDP.

    Args:
        port: the port.
        before: the peer that it went to before, or `peer`.
        peer: the peer that it goes to.
        seconds: for how long.
    """
    keys = f"tcp . {port}, udp . {port}"
    # An element that is not there cannot be deleted, and one that is there only added as it is:
    # add the old one, then replace it, all at once.
    return f"""
add element inet fakepia forwarded {{ {_elements(port, before, seconds)} }}
delete element inet fakepia forwarded {{ {keys} }}
add element inet fakepia forwarded {{ {_elements(port, str(peer), seconds)} }}
"""


def _elements(port: int, peer: str, seconds: int) -> str:
    ways = (f"{protocol} . {port} timeout {seconds}s : {peer}" for protocol in ("tcp", "udp"))
    return ", ".join(ways)


def _entry_points() -> str:
    points = [f"{world.FRONT} . tcp . {world.FRONT_PORT}"]
    for server in world.SERVERS:
        points.append(f"{server.address} . tcp . {world.API_PORT}")
        points.append(f"{server.address} . udp . {world.WIREGUARD_PORT}")
    return ", ".join(points)


def _refill(name: str, servers: Iterable[world.Server]) -> str:
    change = f"flush set inet fakepia {name}\n"
    addresses = ", ".join(str(server.address) for server in servers)
    if addresses:
        change += f"add element inet fakepia {name} {{ {addresses} }}\n"
    return change
