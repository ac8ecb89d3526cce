"""What the control API tells, as JSON documents. Neither passwords nor tokens are among it."""

import datetime as dt
from typing import Any

from fakepia import leaks as detector
from fakepia import stage, vpnserver, wireguard


def state(staged: stage.Stage) -> dict[str, Any]:
    """Describe logins, tokens and servers; times are RFC 3339, in UTC."""
    return {
        "tokensIssued": staged.accounts.issued,
        "tokensValid": staged.accounts.valid,
        "logins": [
            {
                "time": login.time.isoformat(),
                "source": login.source,
                "username": login.username,
                "result": login.result,
            }
            for login in staged.accounts.logins
        ],
        "internetNamespace": staged.internet.path,
        "servers": {site.server.server.cn: _server(site) for site in staged.sites},
    }


def leaks(report: detector.Report) -> dict[str, Any]:
    """Describe leaks."""
    return {
        "packets": report.packets,
        "leaks": [
            {
                "source": leak.flow.source,
                "destination": leak.flow.destination,
                "protocol": leak.flow.protocol,
                "sourcePort": leak.flow.source_port,
                "destinationPort": leak.flow.destination_port,
                "packets": leak.packets,
                "firstSeen": leak.first_seen.isoformat(timespec="seconds"),
            }
            for leak in report.leaks
        ],
    }


def _server(site: stage.VpnSite) -> dict[str, Any]:
    server = site.server
    traffic = server.link.traffic()
    return {
        "address": str(server.server.address),
        "namespace": server.namespace.path,
        "publicKey": server.link.public_key,
        "peers": [_peer(peer, traffic.get(peer.public_key)) for peer in server.peers],
        "addKeyCalls": [
            {"time": call.time.isoformat(), "source": call.source, "result": call.result}
            for call in server.calls
        ],
        "resolverQueries": site.resolver.queries,
        "forwardedPorts": [
            {"port": one.port, "peerIP": one.peer, "ends": one.ends.isoformat()}
            for one in site.port_forwarding.bindings
        ],
    }


def _peer(peer: vpnserver.Peer, traffic: wireguard.Traffic | None) -> dict[str, Any]:
    handshake = None
    if traffic is not None and traffic.latest_handshake:
        moment = dt.datetime.fromtimestamp(traffic.latest_handshake, dt.UTC)
        handshake = moment.isoformat()
    return {
        "publicKey": peer.public_key,
        "peerIP": str(peer.address),
        "account": peer.account,
        "registeredTime": peer.registered.isoformat(),
        "endpoint": traffic.endpoint if traffic else None,
        "latestHandshakeTime": handshake,
        "receivedBytes": traffic.received_bytes if traffic else 0,
        "sentBytes": traffic.sent_bytes if traffic else 0,
    }
