"""Names that the processes share: they meet only in the Kubernetes API and in link names.

Pure: nothing here does I/O.
"""

from __future__ import annotations

GROUP = "piavpn.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

LABEL_VPN = f"{GROUP}/vpn"
"""On every pod behind a tunnel: the name of its PiaVpn. A gateway's own has LABEL_GATEWAY.

Without LABEL_SERVICE it is a labelled pod: one that its user makes, by whatever controller."""
LABEL_GATEWAY = f"{GROUP}/gateway"
"""On a gateway's pod and on its ConfigMap: the name of its PiaVpn."""
LABEL_SERVICE = f"{GROUP}/service"
"""On a service's pod: the name of its VpnServiceContainer (same namespace)."""
ANNOTATION_ADDRESS = f"{GROUP}/address"
"""On a confined pod: its address on the bridge, without prefix length."""
ANNOTATION_RECEIVE_FORWARDED_PORT = f"{GROUP}/receive-forwarded-port"
"""On a labelled pod, by its user: that it receives the forwarded port, as `51413/both`, `tcp`."""
ANNOTATION_FORWARDED_PORT = f"{GROUP}/forwarded-port"
"""On an app's pod: the port that PIA forwards to it. The kubelet shows it to the app as a file."""
ANNOTATION_EXIT_ADDRESS = f"{GROUP}/exit-address"
"""On an app's pod: the address that the Internet sees. A file in the app, too."""
ANNOTATION_APP_STARTED = f"{GROUP}/app-started"
"""On an app's pod: when the app's container started last, for hooks: they run again then."""
ANNOTATION_PORT_SCRIPT = f"{GROUP}/on-port-forwarded"
ANNOTATION_EXIT_SCRIPT = f"{GROUP}/on-exit-address-changed"
"""On an app's pod: its hooks' scripts, which the kubelet shows to the hooks as files."""
ANNOTATION_SPEC_HASH = f"{GROUP}/spec-hash"
"""On a pod template: what must change for the pod to be replaced."""
ANNOTATION_SESSION_INPUTS = f"{GROUP}/session-inputs"
"""On a gateway's pod: changed to make the kubelet refresh the mounted token and server list now."""
ANNOTATION_RENEW_REQUESTED_AT = f"{GROUP}/renew-requested-at"
"""On a PiaVpn, by its user: the time (RFC 3339) from which its session is to be renewed."""
ANNOTATION_CHECK_PORT_REQUESTED_AT = f"{GROUP}/check-port-requested-at"
"""On a PiaVpn, by its user: a time (RFC 3339); its forwarded port is tried from outside now."""
ANNOTATION_LEAK_TEST_REQUESTED_AT = f"{GROUP}/leak-test-requested-at"
"""On an app's pod, by its user: a time (RFC 3339); the pod is tested for leaks now."""

LABEL_NODE_AGENT = f"{GROUP}/node-agent"
"""On the Leases of node agents, with an empty value."""

ANNOTATION_NODE_FACTS = f"{GROUP}/node-facts"
"""On those Leases: what the agent knows of its node, as JSON."""

LABEL_NODE = f"{GROUP}/node"
"""On the ConfigMap in which a node's agent publishes the node's key: the node's name."""

GATE_CONTAINER = "piavpn-gate"
"""Name of the init container that holds an app back until its confinement is proven."""

PORT_HOOK_CONTAINER = "piavpn-port-hook"
EXIT_HOOK_CONTAINER = "piavpn-exit-hook"
"""Names of the containers that tell an app its port and the address that the Internet sees."""

POD_LINK = "vpn0"
"""A confined pod's link to the bridge, in gateway and service pods alike."""
CLUSTER_LINK = "eth0"
"""A pod's link to the cluster network, made by the cluster's own CNI plugin."""
TUNNEL_LINKS = ("piaw0", "piaw1")
"""The gateway's two WireGuard links, one a slot: two, so that a renewal makes before it breaks."""

NODES_LINK = "piavpn-nodes"
"""A node's WireGuard link to the other nodes."""
NODES_PORT = 14790
"""UDP port of a node at which that link listens."""

PROXY_PORT = 8888
"""Port of the bootstrap proxy on the bridge's host address."""

OVERLAY_PORT = 14789
"""UDP port of the VXLAN links that join a VPN's bridges across nodes; no CNI plugin's."""

HTTP_PROXY_USER = 65533
"""User of the gateway's HTTP proxy: its packets are told from the gateway's own by it."""

MANAGER_OPERATOR = "piavpn-operator"
MANAGER_GATEWAY = "piavpn-gateway"
MANAGER_NODE_AGENT = "piavpn-node-agent"
"""Field managers: one for each role, so that each part of a status has one writer."""

PORTS_SECRET = "piavpn-ports"  # noqa: S105 - an object's name
"""The Secret in which gateways keep their ports' signatures, one key a VPN.

One for all: gateways share a service account, so what one may read, all may; and a rule of RBAC
names objects by their whole name, so this one name is as narrow as a rule can be that is not
written anew for every VPN, by an operator with rights over roles."""

_MAX_LINK_NAME = 15
_MAX_SECRET_NAME = 253


def bridge_name(vpn: str) -> str:
    """Return the name of the VPN's bridge: readable where it fits, else cut and made unique.

    Linux allows 15 characters for a link's name.
    """
    return _link_name("br", vpn)


def overlay_name(vpn: str) -> str:
    """Return the name of the VXLAN link that joins the VPN's bridge to those of other nodes."""
    return _link_name("vx", vpn)


def gateway_name(vpn: str) -> str:
    """Return the name of the gateway's StatefulSet and ConfigMap."""
    return f"piavpn-gateway-{vpn}"


def labelled_pods_name(vpn: str) -> str:
    """Return the name of the NetworkPolicy of a namespace's labelled pods.

    With a dot, as none of those of VpnServiceContainers has: theirs hold the names of such.
    """
    return f"piavpn.{vpn}"


def http_proxy_name(vpn: str) -> str:
    """Return the name of the Service and NetworkPolicy of the VPN's HTTP proxy."""
    return f"piavpn-proxy-{vpn}"


def account_name(
    credentials_secret: str,
    username_key: str = "username",
    password_key: str = "password",  # noqa: S107 - a key's name
) -> str:
    """Return the name of the Secret with the account's token: one for each pair of credentials.

    One Secret may hold several pairs, each under keys of its own.
    """
    name = f"piavpn-account-{credentials_secret}"
    if (username_key, password_key) == ("username", "password"):
        return name
    digest = _digest(f"{username_key}/{password_key}")
    return f"{name[: _MAX_SECRET_NAME - 9]}-{digest[:8]}"


def lease_name(node: str) -> str:
    """Return the name of the Lease that the agent of this node renews."""
    return f"piavpn-node-agent-{node}"


def node_key_name(node: str) -> str:
    """Return the name of the ConfigMap in which the agent of this node publishes its key."""
    return f"piavpn-node-{node}"


def asked_for_at(time: str) -> str:
    """Return how a LeakFree condition's message ends that answers the request of this time."""
    return f"; asked for at {time}"


def wireguard_directory(vpn: str) -> str:
    """Return the node's directory of wireguard-go's control sockets for this VPN alone."""
    return f"/run/piavpn/{vpn}/wireguard"


def _link_name(kind: str, vpn: str) -> str:
    name = f"{kind}-{vpn}"
    if len(name) <= _MAX_LINK_NAME:
        return name
    return f"{name[: _MAX_LINK_NAME - 6]}-{_digest(vpn)[:5]}"


def _digest(text: str) -> str:
    # Only here: OpenSSL comes with it, and would cost every start of an app time.
    import hashlib  # noqa: PLC0415

    return hashlib.sha256(text.encode()).hexdigest()
