"""What the gateway's resolver is told. Pure: dnsmasq's configuration as text.

Names of the cluster domain go to the cluster's DNS and nowhere else. All others go to addresses
that exist nowhere: the gateway's rules turn them into the resolvers of the current slot, and send
them by its link alone. So a change of slots changes nothing here, and the cache stays. Where either
is not there, the answer is REFUSED or NXDOMAIN: no question ever takes another way.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

UPSTREAM_NETWORK = ipaddress.IPv4Network("192.0.2.52/30")
"""Addresses for documentation (RFC 5737): nothing of the cluster or the Internet has them."""
UPSTREAMS = (ipaddress.IPv4Address("192.0.2.53"), ipaddress.IPv4Address("192.0.2.54"))
"""What stands for the first and the second resolver of the current slot."""
CACHED_NAMES = 10_000
MOST_PENDING = 1_000
"""Questions that wait for an upstream; dnsmasq's own 150 is for one home."""


def config(listen: ipaddress.IPv4Address, cluster: str) -> str:
    """Return dnsmasq.conf; see dnsmasq(8) for each word.

    Private reverse lookups and `.invalid` are answered here: they are nobody else's business.

    Args:
        listen: where to be asked, and from where to ask.
        cluster: what `cluster_upstreams` returned.
    """
    upstreams = "".join(f"server={upstream}@{listen}\n" for upstream in UPSTREAMS)
    return f"""\
no-resolv
no-hosts
no-poll
bind-interfaces
listen-address={listen}
{cluster}{upstreams}local=/invalid/
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
