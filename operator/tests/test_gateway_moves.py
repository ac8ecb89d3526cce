"""When a living tunnel is to go elsewhere, and where to."""

from __future__ import annotations

import dataclasses
import ipaddress
from datetime import UTC, datetime, timedelta

from gateway_objects import CONFIG, FALLBACK_SESSION, NEXT_SESSION, SESSION, A, B, C

from piavpn.api.gateway_config import GatewayConfig, PortForwarding, Renewal, Server
from piavpn.gateway import moves
from piavpn.gateway.moves import Move, Purpose, Returning
from piavpn.gateway.portless import Portless
from piavpn.gateway.session import Session

NOW = 100_000.0
TIME = datetime(2026, 12, 23, 4, 0, tzinfo=UTC)
SWISS_FIRST = dataclasses.replace(CONFIG, locations=("swiss", "de-frankfurt"))
RECEIVER = PortForwarding(ipaddress.IPv4Address("10.100.0.10"))
WITH_PORT = dataclasses.replace(SWISS_FIRST, port_forwarding=RECEIVER)


def due(
    session: Session,
    config: GatewayConfig,
    returning: Returning = Returning(since=NOW),  # noqa: B008 - it is frozen
    portless: Portless = Portless(),  # noqa: B008 - as well
) -> Move | None:
    return moves.due(session, config, returning, portless, now=NOW, time=TIME)


def renewed(config: GatewayConfig, session: Session, time: datetime) -> GatewayConfig:
    return dataclasses.replace(config, renewal=Renewal(session.public_key, time))


def test_a_tunnel_where_it_is_wanted_stays() -> None:
    assert due(SESSION, CONFIG) is None
    assert due(SESSION, SWISS_FIRST) is None


def test_a_tunnel_stays_though_its_server_left_the_list() -> None:
    assert due(SESSION, dataclasses.replace(SWISS_FIRST, servers=(B, C))) is None


def test_a_tunnel_leaves_a_server_that_was_named_and_is_so_no_more() -> None:
    named, other = (dataclasses.replace(server, region="custom") for server in (A, B))
    session = dataclasses.replace(SESSION, region="custom")
    config = dataclasses.replace(CONFIG, servers=(named, other), locations=("custom",))
    assert due(session, config) is None
    fewer = dataclasses.replace(config, servers=(other,))
    assert due(session, fewer) == Move(Purpose.LOCATION_CHANGE, (other,))
    assert due(session, dataclasses.replace(config, servers=())) is None


def test_a_tunnel_goes_from_one_dedicated_ip_to_another_of_the_same_region() -> None:
    mine, other = (dataclasses.replace(server, region="dedicated-swiss") for server in (A, B))
    session = dataclasses.replace(SESSION, region="dedicated-swiss")
    config = dataclasses.replace(
        CONFIG, servers=(mine,), locations=("dedicated-swiss",), dedicated_ip=True
    )
    assert due(session, config) is None
    moved = dataclasses.replace(config, servers=(other,))
    assert due(session, moved) == Move(Purpose.LOCATION_CHANGE, (other,))


def test_a_tunnel_in_a_location_that_is_no_more_asked_for_goes_to_one_that_is() -> None:
    config = dataclasses.replace(CONFIG, locations=("de-frankfurt",))
    assert due(SESSION, config) == Move(Purpose.LOCATION_CHANGE, (C,))


def test_a_tunnel_leaves_a_region_to_be_avoided_though_any_location_will_do() -> None:
    config = dataclasses.replace(CONFIG, avoided=("swiss", "us_atlanta"))
    assert due(SESSION, config) == Move(Purpose.LOCATION_CHANGE, (C,))
    assert due(FALLBACK_SESSION, config) is None


def test_a_tunnel_stays_in_a_region_to_be_avoided_while_no_other_has_servers() -> None:
    config = dataclasses.replace(CONFIG, servers=(A, B), avoided=("swiss",))
    assert due(SESSION, config) is None


def test_a_tunnel_does_not_leave_for_a_location_without_servers() -> None:
    assert due(SESSION, dataclasses.replace(CONFIG, locations=("atlantis",))) is None


def test_a_session_is_renewed_at_another_server_when_its_time_has_come() -> None:
    assert due(SESSION, renewed(SWISS_FIRST, SESSION, TIME)) == Move(Purpose.RENEWAL, (B,))


def test_a_session_is_not_renewed_before_its_time() -> None:
    later = TIME + timedelta(seconds=1)
    assert due(SESSION, renewed(SWISS_FIRST, SESSION, later)) is None


def test_a_renewal_of_another_session_is_none_of_this_one() -> None:
    assert due(NEXT_SESSION, renewed(SWISS_FIRST, SESSION, TIME)) is None


def test_a_renewal_that_was_missed_is_made_up_for() -> None:
    long_ago = TIME - timedelta(days=40)
    move = due(SESSION, renewed(SWISS_FIRST, SESSION, long_ago))
    assert move == Move(Purpose.RENEWAL, (B,))


def test_without_another_server_in_the_location_a_renewal_goes_to_a_fallback() -> None:
    config = dataclasses.replace(SWISS_FIRST, servers=(A, C))
    assert due(SESSION, renewed(config, SESSION, TIME)) == Move(Purpose.RENEWAL, (C,))


def test_without_any_other_server_a_session_is_renewed_where_it_is() -> None:
    config = dataclasses.replace(SWISS_FIRST, servers=(A,))
    assert due(SESSION, renewed(config, SESSION, TIME)) == Move(Purpose.RENEWAL, (A,))


def test_without_any_server_there_is_no_renewal() -> None:
    config = dataclasses.replace(SWISS_FIRST, servers=())
    assert due(SESSION, renewed(config, SESSION, TIME)) is None


def test_where_any_location_will_do_a_renewal_may_go_to_any_other_server() -> None:
    assert due(SESSION, renewed(CONFIG, SESSION, TIME)) == Move(Purpose.RENEWAL, (B, C))


def test_a_tunnel_in_a_fallback_location_returns_after_half_an_hour() -> None:
    early, ripe = Returning(since=NOW - 1799), Returning(since=NOW - 1800)
    assert due(FALLBACK_SESSION, SWISS_FIRST, early) is None
    assert due(FALLBACK_SESSION, SWISS_FIRST, ripe) == Move(Purpose.RETURN, (A, B))


def test_each_return_that_failed_doubles_the_wait_for_the_next() -> None:
    waits = [Returning(0.0, failures).due(1800) / 1800 for failures in range(8)]
    assert waits == [1, 2, 4, 8, 16, 32, 32, 32]


def test_where_any_location_will_do_there_is_nowhere_to_return_to() -> None:
    assert due(FALLBACK_SESSION, CONFIG, Returning(since=0.0)) is None


def portless(*servers: Server, now: float = NOW) -> Portless:
    found = Portless()
    for server in servers:
        found = found.after(server.address, forwards=False, now=now)
    return found


def test_a_tunnel_leaves_a_server_that_does_not_forward_the_port_that_an_app_wants() -> None:
    without = portless(A)
    assert due(SESSION, WITH_PORT, portless=without) == Move(Purpose.PORT_FORWARDING, (B,))
    assert due(SESSION, SWISS_FIRST, portless=without) is None


def test_it_goes_to_a_worse_location_where_the_better_one_has_no_such_server() -> None:
    assert due(SESSION, WITH_PORT, portless=portless(A, B)) == Move(Purpose.PORT_FORWARDING, (C,))


def test_it_goes_to_no_region_where_pia_forwards_no_port_and_leaves_none_for_that() -> None:
    chosen = dataclasses.replace(WITH_PORT, without_port=("swiss",))
    assert due(SESSION, chosen, portless=portless(A)) is None
    fallback = dataclasses.replace(WITH_PORT, without_port=("de-frankfurt",))
    assert due(SESSION, fallback, portless=portless(A, B)) is None


def test_it_leaves_each_server_once_a_day_at_most() -> None:
    everywhere = portless(A, B, C)
    assert due(SESSION, WITH_PORT, portless=everywhere) is None
    yesterday = portless(B, C, now=NOW - 86_400).after(A.address, forwards=False, now=NOW)
    assert due(SESSION, WITH_PORT, portless=yesterday) == Move(Purpose.PORT_FORWARDING, (B,))


def test_it_waits_longer_from_one_such_move_to_the_next_up_to_an_hour() -> None:
    without, waits = portless(A), []
    for _ in range(8):
        without = without.moved(NOW)
        assert due(SESSION, WITH_PORT, portless=without) is None
        waits.append(without.next_move - NOW)
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    found = without.after(B.address, forwards=True, now=NOW)
    assert (found.moves, found.next_move) == (0, 0.0)
    assert found.has(A.address, NOW)


def test_neither_a_return_nor_a_renewal_goes_to_such_a_server() -> None:
    back = due(FALLBACK_SESSION, WITH_PORT, Returning(since=0.0), portless(A))
    assert back == Move(Purpose.RETURN, (B,))
    renewing = renewed(WITH_PORT, NEXT_SESSION, TIME)
    assert due(NEXT_SESSION, renewing, portless=portless(A)) == Move(Purpose.RENEWAL, (C,))
    assert due(NEXT_SESSION, renewing, portless=portless(A, C)) == Move(Purpose.RENEWAL, (A,))
