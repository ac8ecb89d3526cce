"""Ask PIA under which address it sees us: it tells those who come through a tunnel their exit.

Source: pia-foss/desktop daemon/src/daemon.cpp, `parseVpnIpResponse`: `GET /api/client/status`
answers `{"connected": true, "ip": "…"}`, without login.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from http import HTTPStatus

from piavpn.pia import calls, errors, https, tls

Resolve = Callable[[str], ipaddress.IPv4Address | None]


@calls.counted("exitAddress")
def get(
    url: str, resolve: Resolve, *, link: str, ca_bundle: str | None, timeout: float
) -> ipaddress.IPv4Address:
    """Return the address that PIA sees when asked by `link`.

    Args:
        url: where to ask; https alone.
        resolve: finds the host's address; not asked where the URL has one.
        link: the tunnel's link.
        ca_bundle: PEM of whom to trust; None: the public authorities.
        timeout: seconds for the whole call, but for `resolve`.

    Raises:
        Unreachable: the name is not known, or as `https.exchange`.
        BadResponse: the answer tells no address, or that this is none of PIA's.
        PiaError: as `https.exchange`.
    """
    peer, response = ask(url, resolve, link=link, ca_bundle=ca_bundle, timeout=timeout)
    answer = response.json_object()
    try:
        if response.status == HTTPStatus.OK and answer.get("connected", True):
            return ipaddress.IPv4Address(answer["ip"])
    except (KeyError, ValueError):
        pass
    raise errors.BadResponse(f"{peer} tells no address of its own (HTTP {response.status})")


def ask(
    url: str, resolve: Resolve, *, link: str, ca_bundle: str | None, timeout: float
) -> tuple[https.Peer, https.Response]:
    """Return who answered by `link`, and what; arguments as of `get`.

    Raises:
        Unreachable: the name is not known, or as `https.exchange`.
        PiaError: as `https.exchange`.
    """
    named, target = https.split(url)
    address = _literal(named.name) or resolve(named.name)
    if address is None:
        raise errors.Unreachable(f"{named.name} is not known to the tunnel's resolver")
    peer = https.Peer(named.name, named.port, str(address), link=link)
    context = tls.public_context(ca_bundle)
    request = https.Request("GET", target)
    return peer, https.exchange(peer, request, context=context, timeout=timeout)


def _literal(host: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(host)
    except ValueError:
        return None
