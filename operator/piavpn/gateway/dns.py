"""What the gateway's resolver is told. Pure: dnsmasq's configuration as text.

Names of the cluster domain go to the cluster's DNS and nowhere else; all others go to the VPN's
resolvers by the tunnel's link and nowhere else. Where either is not there, the answer is REFUSED
or NXDOMAIN: no question ever takes another way.
"""

from __future__ import annotations

import ipaddress
import pathlib
from collections.abc import Iterable

CACHED_NAMES = 10_000
MOST_PENDING = 1_000
"""Questions that wait for an upstream; dnsmasq's own 150 is for one home."""


def config(listen: ipaddress.IPv4Address, upstream_file: pathlib.Path) -> str:
    """Return dnsmasq.conf; see dnsmasq(8) for each word.

    Private reverse lookups and `.invalid` are answered here: they are nobody else's business.
    """
    return f"""\
no-resolv
no-hosts
no-poll
bind-interfaces
listen-address={listen}
servers-file={upstream_file}
local=/invalid/
bogus-priv
cache-size={CACHED_NAMES}
dns-forward-max={MOST_PENDING}
log-facility=-
pid-file
"""


def cluster_upstreams(domain: str, resolvers: Iterable[ipaddress.IPv4Address]) -> str:
    """Return who answers for the cluster domain: where nobody does, nobody else is asked."""
    lines = [f"server=/{domain}/{resolver}\n" for resolver in resolvers]
    return "".join(lines) or f"local=/{domain}/\n"


def tunnel_upstreams(link: str, resolvers: Iterable[ipaddress.IPv4Address]) -> str:
    """Return who answers for all other names, by sockets bound to the link."""
    return "".join(f"server={resolver}@{link}\n" for resolver in resolvers)
