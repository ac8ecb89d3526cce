"""PIA's signed server list, version 6: one line of JSON, an empty line, a base64 signature.

The signature is RSASSA-PKCS1-v1_5 with SHA-256 over the bytes of the JSON line without its
newline, in lines of 60 characters.
"""

import base64
import json
from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from fakepia import world

GROUPS: dict[str, list[dict[str, Any]]] = {
    "ikev2": [{"name": "ikev2", "ports": [500, 4500]}],
    "meta": [{"name": "meta", "ports": [443, 8080]}],
    "ovpnudp": [{"name": "openvpn_udp", "ports": [8080, 853, 123, 53]}],
    "proxyss": [{"name": "shadowsocks", "ports": [443]}],
    "ovpntcp": [{"name": "openvpn_tcp", "ports": [80, 443, 853, 8443]}],
    "proxysocks": [{"name": "socks", "ports": [1080]}],
    "wg": [{"name": "wireguard", "ports": [world.WIREGUARD_PORT]}],
    # PIA adds groups and fields; a client has to pass over those that it does not know.
    "awg": [{"name": "amnezia", "ports": [1338], "generation": 2}],
}


def document(regions: Iterable[world.Region]) -> bytes:
    """Give the JSON line (without newline) that lists `regions`."""
    listed = [_region(region) for region in regions]
    return json.dumps({"groups": GROUPS, "regions": listed}, separators=(",", ":")).encode()


def signed(body: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """Give the list as served: `body`, an empty line and the signature."""
    return body + b"\n\n" + signature(body, key)


def signature(body: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """Give the signature of `body` in base64, in lines of 60 characters."""
    encoded = base64.b64encode(key.sign(body, padding.PKCS1v15(), hashes.SHA256()))
    return b"\n".join(encoded[start : start + 60] for start in range(0, len(encoded), 60))


def _region(region: world.Region) -> dict[str, Any]:
    return {
        "id": region.id,
        "name": region.name,
        "country": region.country,
        "auto_region": True,
        "dns": region.dns,
        "port_forward": region.port_forward,
        "geo": region.geo,
        "offline": False,
        "load": 17,
        "servers": {
            "ikev2": [_other(server, 50) for server in region.servers],
            "meta": [_other(server, 100) for server in region.servers],
            "ovpntcp": [_other(server, 150) | {"van": True} for server in region.servers],
            "ovpnudp": [_other(server, 200) | {"van": False} for server in region.servers],
            "wg": [{"ip": str(server.address), "cn": server.cn} for server in region.servers],
            "awg": [_other(server, 20) | {"port": 1338} for server in region.servers],
        },
    }


def _other(server: world.Server, offset: int) -> dict[str, Any]:
    """List an address of another protocol: nobody is there, so that a mix-up is noticed."""
    return {"ip": str(server.address + offset), "cn": server.cn}
