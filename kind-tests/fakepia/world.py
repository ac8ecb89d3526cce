"""What exists in this Internet, as data: addresses, regions and servers.

All public addresses lie in 198.18.0.0/15 (RFC 2544): no pod, service or documentation range holds
them and the real Internet does not route them, so whatever goes astray reaches nobody.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

INTERNET = IPv4Network("198.18.0.0/15")
DOCUMENTATION = (IPv4Network("198.51.100.0/24"), IPv4Network("203.0.113.0/24"))

FRONT = IPv4Address("198.18.0.2")
FRONT_NAMES = ("www.privateinternetaccess.com", "serverlist.piaservers.net")
FRONT_PORT = 443

WHOAMI = IPv4Address("198.18.200.1")

WIREGUARD_PORT = 1337
API_PORT = 1337
PORT_FORWARD_PORT = 19999
CONTROL_PORT = 8053

TUNNEL_ADDRESSES = IPv4Network("10.0.0.0/8")
RESOLVERS = (IPv4Address("10.0.0.243"), IPv4Address("10.0.0.242"))
FILTERING_RESOLVER = IPv4Address("10.0.0.241")
"""What PIA calls MACE: a resolver that answers 0.0.0.0 for names of advertisers."""


@dataclass(frozen=True, slots=True)
class Server:
    """One WireGuard server.

    `peers` is the range that peer addresses are taken from and `vip` the server's own address in
    the tunnel. `subject_alternative_name` tells the two kinds of certificate apart: PIA's old
    servers have a common name only. What HTTP status goes with `Login failed!` is not known; the
    kinds differ in `login_failed_status` so that no client can come to rely on one.
    """

    number: int
    cn: str
    address: IPv4Address
    peers: IPv4Network
    vip: IPv4Address
    subject_alternative_name: bool = False
    login_failed_status: int = 200

    @property
    def link(self) -> str:
        """Name of the WireGuard link; one per server, as userspace sockets go by link name."""
        return f"wg{self.number}"


@dataclass(frozen=True, slots=True)
class Region:
    """One region of the server list; the fields are the list's own."""

    id: str
    name: str
    country: str
    dns: str
    servers: tuple[Server, ...]
    port_forward: bool = True
    geo: bool = False


# Two servers with one vip: a client with two tunnels must cope.
ZURICH401 = Server(
    number=1,
    cn="zurich401",
    address=IPv4Address("198.18.11.1"),
    peers=IPv4Network("10.5.1.0/24"),
    vip=IPv4Address("10.5.128.1"),
)
ZURICH402 = Server(
    number=2,
    cn="zurich402",
    address=IPv4Address("198.18.11.2"),
    peers=IPv4Network("10.5.2.0/24"),
    vip=IPv4Address("10.5.128.1"),
    subject_alternative_name=True,
)
SERVER_12399_1A = Server(
    number=3,
    cn="Server-12399-1a",
    address=IPv4Address("198.18.12.1"),
    peers=IPv4Network("10.7.1.0/24"),
    vip=IPv4Address("10.7.128.1"),
    subject_alternative_name=True,
    login_failed_status=401,
)
AMSTERDAM402 = Server(
    number=4,
    cn="amsterdam402",
    address=IPv4Address("198.18.12.2"),
    peers=IPv4Network("10.7.2.0/24"),
    vip=IPv4Address("10.7.128.1"),
)
# Its addresses lie in kubeadm's default service range, as PIA's may.
FRANKFURT401 = Server(
    number=5,
    cn="frankfurt401",
    address=IPv4Address("198.18.13.1"),
    peers=IPv4Network("10.96.5.0/24"),
    vip=IPv4Address("10.96.128.1"),
)
CHICAGO401 = Server(
    number=6,
    cn="chicago401",
    address=IPv4Address("198.18.14.1"),
    peers=IPv4Network("10.14.1.0/24"),
    vip=IPv4Address("10.14.128.1"),
    subject_alternative_name=True,
    login_failed_status=401,
)
PANAMA409 = Server(
    number=7,
    cn="panama409",
    address=IPv4Address("198.18.15.1"),
    peers=IPv4Network("10.15.1.0/24"),
    vip=IPv4Address("10.15.128.1"),
)

REGIONS = (
    Region("swiss", "Switzerland", "CH", "switzerland.pvt.site", (ZURICH401, ZURICH402)),
    Region(
        "nl_amsterdam",
        "Netherlands",
        "NL",
        "nl-amsterdam.pvt.site",
        (SERVER_12399_1A, AMSTERDAM402),
    ),
    Region("de-frankfurt", "DE Frankfurt", "DE", "de-frankfurt.privacy.network", (FRANKFURT401,)),
    Region(
        "us_chicago",
        "US Chicago",
        "US",
        "us-chicago.pvt.site",
        (CHICAGO401,),
        port_forward=False,
    ),
    Region("panama", "Panama", "PA", "panama.privacy.network", (PANAMA409,), geo=True),
    # PIA lists some servers in two regions: two regions can be one server.
    Region(
        "liechtenstein",
        "Liechtenstein",
        "LI",
        "liechtenstein.pvt.site",
        (ZURICH402,),
        geo=True,
    ),
)

SERVERS = (
    ZURICH401,
    ZURICH402,
    SERVER_12399_1A,
    AMSTERDAM402,
    FRANKFURT401,
    CHICAGO401,
    PANAMA409,
)


def forwards_ports(server: Server) -> bool:
    """Tell whether `server` offers port forwarding: PIA's flag is the region's."""
    return any(region.port_forward for region in REGIONS if server in region.servers)
