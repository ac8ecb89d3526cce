"""How often the forwarded port changes over restarts, dead servers and renewals: never, it should.

After each of them there is another session: what PIA forwards to that counts, and what the status
tells. Two tunnels at once, in regions with two servers each, for the sake of time.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
from collections.abc import Callable, Sequence

from bench import results
from fakepia import client
from harness import kubectl, manifests, probes, renewals, waiting

_LOCATIONS = ("swiss", "nl_amsterdam")
_RESTARTS, _DEAD_SERVERS, _RENEWALS = 15, 10, 10
"""Of each tunnel."""
_APP = "receiver"
_SECONDS = 120.0


def measure(pia: client.Client) -> list[results.Measurement]:
    """Count the changes of both tunnels' ports, and time the renewals.

    Raises:
        AssertionError: PIA forwarded no port to a session in time.
    """
    with concurrent.futures.ThreadPoolExecutor(len(_LOCATIONS)) as pool:
        lives = list(pool.map(functools.partial(_life_of, pia), _LOCATIONS))
    disturbances = {
        "gateway pods": _RESTARTS,
        "dead servers": _DEAD_SERVERS,
        "renewals": _RENEWALS,
    }
    counts = [f"{len(_LOCATIONS) * count} {what}" for what, count in disturbances.items()]
    return [
        results.Measurement(
            f"port changed over {', '.join(counts)}",
            "ports",
            (float(sum(life.changes for life in lives)),),
            results.Bar(0),
            rounds=len(_LOCATIONS) * sum(disturbances.values()),
            row=f"forwarded ports that changed over {', '.join(counts)}",
        ),
        results.Measurement(
            "renewal asked for → done",
            "s",
            tuple(seconds for life in lives for seconds in life.renewals),
            row="renewal asked for → another session in the status",
        ),
    ]


@dataclasses.dataclass(frozen=True, slots=True)
class _Life:
    """What a tunnel went through: how often its port was another one, how long renewals took."""

    changes: int
    renewals: Sequence[float]


def _life_of(pia: client.Client, location: str) -> _Life:
    name = f"bench-port-{_LOCATIONS.index(location) + 1}"
    with probes.tunnel(name, location=location, renewal={"gracePeriod": "0s"}) as tunnel:
        app = manifests.app(_APP, tunnel.app.namespace, tunnel.vpn, receiveForwardedPort={})
        try:
            kubectl.apply(app)
            kubectl.wait_for("piavpn", tunnel.vpn, "PortForwarded")
            return _live(tunnel, pia)
        finally:
            kubectl.delete(app)


def _live(tunnel: probes.Tunnel, pia: client.Client) -> _Life:
    renewals_took: list[float] = []
    disturbances: list[Callable[[], None]] = [
        *[functools.partial(_delete_gateway, tunnel)] * _RESTARTS,
        *[functools.partial(_kill_server, tunnel, pia)] * _DEAD_SERVERS,
        *[lambda: renewals_took.append(renewals.renew(tunnel))] * _RENEWALS,
    ]
    ports = [_forwarded(tunnel, pia, but="")]
    for disturb in disturbances:
        before = tunnel.status()["session"]["publicKey"]
        disturb()
        ports.append(_forwarded(tunnel, pia, but=before))
    return _Life(sum(port != ports[0] for port in ports), renewals_took)


def _delete_gateway(tunnel: probes.Tunnel) -> None:
    gateway = tunnel.gateway
    kubectl.run("delete", "pod", gateway.name, "-n", gateway.namespace, "--wait=false")


def _kill_server(tunnel: probes.Tunnel, pia: client.Client) -> None:
    server = tunnel.status()["session"]["server"]
    # Not `failing`: the other tunnel's servers die and live meanwhile.
    pia.fail({"server": {server: "dead"}})
    try:
        waiting.eventually(
            lambda: _session(tunnel).get("server", server) != server, "another server"
        )
    finally:
        pia.fail({"server": {server: None}})


def _forwarded(tunnel: probes.Tunnel, pia: client.Client, *, but: str) -> int:
    """Return the port that PIA forwards to a session that is not the one with the key `but`."""

    def port() -> int:
        session = _session(tunnel)
        if session.get("publicKey", but) == but:
            return 0
        ports = pia.state().servers[session["server"]].forwarded_ports
        mine = [one for one, peer in ports.items() if peer == session["peerAddress"]]
        assert len(mine) <= 1, f"several ports go to {tunnel.vpn}: {mine}"
        told = (tunnel.status().get("forwardedPort") or {}).get("port")
        return mine[0] if mine == [told] else 0

    return waiting.eventually(port, f"a port for a new session of {tunnel.vpn}", timeout=_SECONDS)


def _session(tunnel: probes.Tunnel) -> kubectl.Object:
    return tunnel.status().get("session") or {}
