"""The lock: what a confined pod's network namespace must hold so that nothing leaks. Pure.

The packet filter comes before the first link, and filters in postrouting: after a reroute, later
chains of the output hook still see the old device. Out of the cluster's link go only packets to the
cluster and replies of connections that came in by it; a plain `ct state established` would also
pass flows that began on the tunnel and were then rerouted.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from piavpn.api import names
from piavpn.net.routing import Route, Rule
from piavpn.node.model import ClusterLink, PodPlan, Role

TABLE = "inet piavpn_lock"
REPLY_TABLE = 4096
"""Routing table of replies: they leave by the link by which their connection came in."""
CAME_IN = 0x1000
"""Mark of connections that came in by the cluster's link, and of their replies."""
LEAK_TEST = 0x2000
"""Mark of what the leak test sends, to be counted apart; no app may mark packets."""
PROBES = "probe_"
"""What the names of counters of tests begin with; all others' begin with `DROPPED`."""
DROPPED = "dropped_"

NODE_LOCAL_DNS = ipaddress.IPv4Network("169.254.20.10/32")
"""Where NodeLocal DNSCache answers on each node that has it: there it is pods' name server."""

_REPLY_RULES = (50, 51)


def sysctls(role: Role) -> dict[str, str]:
    """Return the namespace's kernel parameters, as paths below /proc/sys.

    Reverse path filtering is inherited from the node and would drop what replies to a LAN address
    are asked for, and all that a gateway forwards. IPv6 stays on loopback, where apps may use it.
    """
    wanted = {
        "net/ipv4/conf/all/rp_filter": "0",
        "net/ipv4/conf/default/rp_filter": "0",
        f"net/ipv4/conf/{names.CLUSTER_LINK}/rp_filter": "0",
        "net/ipv4/conf/all/accept_redirects": "0",
        "net/ipv4/conf/default/accept_redirects": "0",
        f"net/ipv4/conf/{names.CLUSTER_LINK}/accept_redirects": "0",
        "net/ipv6/conf/default/disable_ipv6": "1",
        f"net/ipv6/conf/{names.CLUSTER_LINK}/disable_ipv6": "1",
    }
    if role is Role.GATEWAY:
        wanted |= {"net/ipv4/ip_forward": "1", "net/ipv4/conf/all/send_redirects": "0"}
    return wanted


def routes(plan: PodPlan, link: ClusterLink) -> tuple[Route, ...]:
    """Return the pod's routes.

    The reply table comes first: it is also where the next hop stays known once the default route
    that the cluster's CNI plugin made is gone.
    """
    onlink = link.next_hop is not None
    by_cluster = {"via": link.next_hop, "dev": names.CLUSTER_LINK, "onlink": onlink}
    reply = Route(table=REPLY_TABLE, **by_cluster)  # type: ignore[arg-type]
    cluster = [Route(cidr, **by_cluster) for cidr in plan.direct]  # type: ignore[arg-type]
    if plan.role is Role.GATEWAY:
        cache = Route(NODE_LOCAL_DNS, **by_cluster)  # type: ignore[arg-type]
        return (reply, *cluster, cache)
    return (reply, *cluster, Route(via=plan.network.gateway, dev=names.POD_LINK))


def rules(link: ClusterLink) -> tuple[Rule, ...]:
    """Return the pod's routing rules: what has the cluster link's address, and marked replies."""
    by_address, by_mark = _REPLY_RULES
    return (
        Rule(by_address, REPLY_TABLE, from_=ipaddress.IPv4Network(link.address)),
        Rule(by_mark, REPLY_TABLE, fwmark=CAME_IN, mask=CAME_IN),
    )


def ruleset(plan: PodPlan, link: ClusterLink) -> str:
    """Return the packet filter as text for nft; it replaces the table in one transaction."""
    if plan.role is Role.GATEWAY:
        return _GATEWAY.format(
            subnet=plan.network.subnet,
            cluster=_elements(plan.cluster),
            cache=NODE_LOCAL_DNS.network_address,
            proxy=names.HTTP_PROXY_USER,
        )
    return _SERVICE.format(
        address=plan.address, cluster_address=link.address, cluster=_elements(plan.direct)
    )


def _elements(cidrs: Iterable[ipaddress.IPv4Network]) -> str:
    return ", ".join(str(cidr) for cidr in cidrs)


# The set `cluster` also holds what the app's owner lets it reach past the tunnel, but for DNS.
#
# What gate and leak test send to prove the lock has counters of its own, so that it hides no real
# drop. It goes to documentation addresses of RFC 5737 and RFC 3849, so that it betrays nothing,
# and into no tunnel; where it goes to the cluster it is told by its mark. No rule but the counters'
# own knows it: it is dropped where all else would be.
_SERVICE = """\
table inet piavpn_lock
delete table inet piavpn_lock
table inet piavpn_lock {{
  set cluster {{ type ipv4_addr; flags interval; elements = {{ {cluster} }}; }}
  counter probe_ipv4 {{ }}
  counter probe_ipv6 {{ }}
  counter probe_dns {{ }}
  counter probe_tunnel {{ }}
  counter dropped_dns {{ }}
  counter dropped_ipv6 {{ }}
  counter dropped_options {{ }}
  counter dropped_cluster_link {{ }}
  counter dropped_source {{ }}
  counter dropped_forward {{ }}
  counter dropped_other {{ }}
  chain came_in {{
    type filter hook prerouting priority mangle; policy accept;
    iifname "eth0" ct state new ct mark set ct mark | 0x1000
  }}
  chain udp_in {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname "eth0" ip saddr != @cluster ip daddr {cluster_address} meta l4proto udp \
dnat ip to {address}
  }}
  chain replies {{
    type route hook output priority mangle; policy accept;
    ct direction reply ct mark & 0x1000 == 0x1000 meta mark set meta mark | 0x1000
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    counter name dropped_forward drop
  }}
  chain outgoing {{
    type filter hook postrouting priority filter; policy drop;
    oifname "lo" accept
    ip6 daddr 2001:db8::/32 counter name probe_ipv6 drop
    meta nfproto ipv6 counter name dropped_ipv6 drop
    oifname "vpn0" ip daddr 192.0.2.0/24 counter name probe_tunnel drop
    oifname "vpn0" ip saddr {address} accept
    oifname "vpn0" counter name dropped_source drop
    oifname "eth0" jump cluster_link
    ip daddr 192.0.2.0/24 counter name probe_ipv4 drop
    counter name dropped_other drop
  }}
  chain cluster_link {{
    ip hdrlength > 5 counter name dropped_options drop
    ct direction reply ct mark & 0x1000 == 0x1000 accept
    ip daddr @cluster meta l4proto {{ tcp, udp }} th dport {{ 53, 853 }} goto dns
    ip daddr @cluster accept
    ip daddr 192.0.2.0/24 counter name probe_ipv4 drop
    counter name dropped_cluster_link drop
  }}
  chain dns {{
    meta mark & 0x2000 == 0x2000 counter name probe_dns drop
    counter name dropped_dns drop
  }}
}}
"""
# `udp_in`: an app's UDP socket on the wildcard address answers from the address of the route back,
# which for a LAN client is vpn0's: no reply to connection tracking, and lost. Sent to that address
# in the first place, it is a reply.

# A gateway begins connections to two peers in the cluster alone: to cluster DNS or the node's cache
# of it, which it asks for names of the cluster, and to the API server, at the ports that its
# Service and its process have. Its HTTP proxy, which others may use, only answers there.
_GATEWAY = """\
table inet piavpn_lock
delete table inet piavpn_lock
table inet piavpn_lock {{
  set cluster {{ type ipv4_addr; flags interval; elements = {{ {cluster} }}; }}
  counter dropped_ipv6 {{ }}
  counter dropped_options {{ }}
  counter dropped_cluster_link {{ }}
  counter dropped_destination {{ }}
  counter dropped_forward {{ }}
  counter dropped_other {{ }}
  chain came_in {{
    type filter hook prerouting priority mangle; policy accept;
    iifname "eth0" ct state new ct mark set ct mark | 0x1000
  }}
  chain replies {{
    type route hook output priority mangle; policy accept;
    ct direction reply ct mark & 0x1000 == 0x1000 meta mark set meta mark | 0x1000
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    meta nfproto ipv6 counter name dropped_ipv6 drop
    iifname "vpn0" oifname {{ "piaw0", "piaw1" }} accept
    iifname {{ "piaw0", "piaw1" }} oifname "vpn0" accept
    counter name dropped_forward drop
  }}
  chain outgoing {{
    type filter hook postrouting priority filter; policy drop;
    oifname "lo" accept
    meta nfproto ipv6 counter name dropped_ipv6 drop
    oifname "vpn0" ip daddr {subnet} accept
    oifname "vpn0" counter name dropped_destination drop
    oifname {{ "piaw0", "piaw1" }} accept
    oifname "eth0" jump cluster_link
    counter name dropped_other drop
  }}
  chain cluster_link {{
    ip hdrlength > 5 counter name dropped_options drop
    ct direction reply ct mark & 0x1000 == 0x1000 accept
    meta skuid {proxy} counter name dropped_cluster_link drop
    ip daddr @cluster meta l4proto {{ tcp, udp }} th dport 53 accept
    ip daddr {cache} meta l4proto {{ tcp, udp }} th dport 53 accept
    ip daddr @cluster tcp dport {{ 443, 6443 }} accept
    counter name dropped_cluster_link drop
  }}
}}
"""
