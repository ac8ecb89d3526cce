"""The gateway against a stand-in of PIA: registration, traffic, names, failures, restarts."""

from __future__ import annotations

import itertools
import pathlib
import time
from collections.abc import Callable, Iterator

import bootstrap_proxy
import gateway_world
import namespaces
import pytest
from fakepia_world import FakePia
from gateway_world import FRANKFURT401, ZURICH401, ZURICH402, World
from namespaces import Namespace

from fakepia.world import FILTERING_RESOLVER, WHOAMI


@pytest.fixture
def world(
    pia: FakePia, new_namespace: Callable[[str], Namespace], tmp_path: pathlib.Path
) -> Iterator[World]:
    with gateway_world.around(pia, new_namespace, tmp_path) as world:
        yield world
    pia.control.reset()
    pia.control.forget_peers()


def test_an_app_behind_the_gateway_is_seen_with_the_servers_address_alone(world: World) -> None:
    world.tell(ZURICH401)
    world.give_token()
    before = world.pia.control.mark_leaks()
    with world.api(), world.gateway():
        world.wait_until_up()
        assert world.exit_address() == "198.18.11.1"
        assert world.udp_exit_address() == "198.18.11.1"
        assert world.resolve("whoami.test") == "198.18.11.1"
    assert world.pia.control.leaks(before).packets == 0
    assert world.refused_by_lock() == 0
    # The control: what goes out by the node is seen.
    world.node.run("curl --silent --max-time 5 http://198.18.200.1/")
    assert world.pia.control.leaks(before).packets > 0


def test_cluster_names_are_asked_in_the_cluster_and_all_others_in_the_tunnel(world: World) -> None:
    world.tell(ZURICH401)
    world.give_token()
    with world.api(), world.gateway():
        world.wait_until_up()
        assert world.resolve("kubernetes.default.svc.cluster.local") == "10.96.0.1"
        # The cluster's DNS of this world would answer 192.0.2.66 to any other name.
        assert world.resolve("www.example.test") == "198.18.200.1"
        assert world.resolve("gateway.piavpn.invalid") == "NXDOMAIN"


def test_without_a_tunnel_nothing_but_cluster_names_is_answered_and_nothing_leaves(
    world: World,
) -> None:
    world.tell(ZURICH401)
    before = world.pia.control.mark_leaks()
    with world.api() as api, world.gateway():
        namespaces.eventually(
            lambda: (
                api.condition("Registered")
                == {
                    "type": "Registered",
                    "status": "False",
                    "reason": "WaitingForToken",
                    "message": "There is no token of the PIA account yet: "
                    "see the condition Authenticated.",
                    "observedGeneration": 3,
                }
            ),
            what="the condition",
        )
        namespaces.eventually(
            lambda: world.resolve("kubernetes.default.svc.cluster.local") == "10.96.0.1",
            what="an answer of the resolver that was just started",
        )
        assert world.resolve("whoami.test") == "REFUSED"
        assert world.exit_address() is None
        assert (world.probe("livez"), world.probe("readyz")) == (200, 503)
    assert world.pia.control.leaks(before).packets == 0


def test_the_status_tells_the_session_and_that_the_tunnel_is_up(world: World) -> None:
    world.tell(ZURICH401)
    world.give_token()
    with world.api() as api, world.gateway():
        namespaces.eventually(lambda: "session" in api.status, what="a session in the status")
        peer = world.pia.control.state().servers["zurich401"].peers[0]
        session = api.status["session"]
        assert session.pop("registeredTime").endswith("Z")
        assert session == {
            "region": "swiss",
            "server": "zurich401",
            "serverAddress": "198.18.11.1",
            "link": "piaw0",
            "peerAddress": peer.address,
            "publicKey": peer.public_key,
        }
        assert api.condition("Registered") == {
            "type": "Registered",
            "status": "True",
            "reason": "Registered",
            "message": "zurich401 (swiss) knows the gateway's key.",
            "observedGeneration": 3,
        }
        assert api.condition("TunnelUp") == {
            "type": "TunnelUp",
            "status": "True",
            "reason": "ServerAnswers",
            "message": "zurich401 (swiss) answers pings.",
            "observedGeneration": 3,
        }
        assert {query.partition("?")[2] for query in api.queries} == {
            "fieldManager=piavpn-gateway&force=false"
        }


def test_a_tunnel_comes_up_while_the_api_is_down_and_is_told_later(world: World) -> None:
    world.tell(ZURICH401)
    world.give_token()
    with world.gateway():
        world.wait_until_up()
        assert world.exit_address() == "198.18.11.1"
        with world.api() as api:
            namespaces.eventually(lambda: "session" in api.status, what="a session in the status")


@pytest.mark.parametrize("flaw", ["wrong_cn", "expired_cert", "refuse", "http_500"])
def test_a_server_that_cannot_be_used_is_passed_over(world: World, flaw: str) -> None:
    world.tell(ZURICH401, ZURICH402)
    world.give_token()
    with world.pia.control.failing({"addKey": {"zurich401": flaw}}), world.api(), world.gateway():
        world.wait_until_up()
        assert world.exit_address() == "198.18.11.2"


def test_the_first_server_is_used_where_the_bootstrap_proxy_hears_of_it_last(world: World) -> None:
    first, second = str(ZURICH401.address), str(FRANKFURT401.address)
    bootstrap_proxy.let_through(world.folder)
    world.tell(ZURICH401, FRANKFURT401)
    world.give_token()
    with world.api() as api, world.gateway():
        refused = lambda: bootstrap_proxy.has_refused(world.folder, first)  # noqa: E731
        namespaces.eventually(refused, what="a try that the proxy refuses")
        bootstrap_proxy.let_through(world.folder, first, second)
        world.wait_until_up()
        namespaces.eventually(lambda: "session" in api.status, what="a session in the status")
        assert api.status["session"]["server"] == "zurich401"


def test_traffic_flows_again_within_fifteen_seconds_of_a_servers_death(world: World) -> None:
    world.tell(ZURICH401, ZURICH402)
    world.give_token()
    with world.api() as api, world.gateway() as gateway:
        world.wait_until_up()
        assert world.exit_address() == "198.18.11.1"
        before = world.pia.control.mark_leaks()
        died = time.monotonic()
        world.pia.control.fail({"server": {"zurich401": "dead"}})
        namespaces.eventually(
            lambda: world.exit_address() == "198.18.11.2", what="another server", seconds=15
        )
        assert time.monotonic() - died < 15
        assert "zurich401 (swiss) answered none of 5 pings" in gateway.logs()
        assert world.resolve("whoami.test") == "198.18.11.2"
        assert world.udp_exit_address() == "198.18.11.2"
        namespaces.eventually(
            lambda: api.status.get("session", {}).get("server") == "zurich402",
            what="the new session in the status",
        )
    assert world.pia.control.leaks(before).packets == 0


def test_a_rejected_token_is_told_and_a_new_one_used(world: World) -> None:
    world.tell(ZURICH401, ZURICH402)
    world.give_token()
    world.pia.control.revoke_tokens()
    with world.api() as api, world.gateway():
        namespaces.eventually(
            lambda: api.condition("Registered").get("reason") == "TokenRejected",
            what="the condition TokenRejected",
        )
        servers = world.pia.control.state().servers.values()
        assert sum(len(server.add_key_calls) for server in servers) == 1  # no other server asked
        world.give_token()
        world.wait_until_up()
        assert world.exit_address() == "198.18.11.1"


def test_a_restarted_gateway_goes_on_with_its_session(world: World) -> None:
    world.tell(ZURICH401, ZURICH402)
    world.give_token()
    with world.api():
        with world.gateway():
            world.wait_until_up()
        with world.gateway() as second:
            world.wait_until_up()
            assert world.exit_address() == "198.18.11.1"
            assert world.resolve("whoami.test") == "198.18.11.1"
            assert "adopted the session at zurich401 (swiss)" in second.logs()
    assert len(world.pia.control.state().servers["zurich401"].add_key_calls) == 1


def test_traffic_flows_while_no_gateway_process_runs(world: World) -> None:
    world.tell(ZURICH401)
    world.give_token()
    with world.api():
        with world.gateway():
            world.wait_until_up()
        assert world.exit_address() == "198.18.11.1"
        with world.gateway():
            # From its first moment on: the rules it loads anew break nothing.
            while not world.ready():
                assert world.exit_address() == "198.18.11.1"


def test_a_restarted_gateway_registers_anew_when_its_session_died(world: World) -> None:
    world.tell(ZURICH401, ZURICH402)
    world.give_token()
    with world.api():
        with world.gateway():
            world.wait_until_up()
        world.pia.control.forget_peers("zurich401")
        with world.gateway():
            world.wait_until_up()
            assert world.exit_address() == "198.18.11.1"
    assert len(world.pia.control.state().servers["zurich401"].add_key_calls) == 2


def test_upstreams_of_ones_own_are_asked_through_the_tunnel_alone_from_the_change_on(
    world: World,
) -> None:
    fresh = itertools.count()

    def advertiser() -> str | None:
        return world.resolve(f"{next(fresh)}.ads.test")  # never the same: nothing is cached

    world.tell(ZURICH401)
    world.give_token()
    before = world.pia.control.mark_leaks()
    with world.api(), world.gateway():
        world.wait_until_up()
        assert advertiser() == "NXDOMAIN"
        world.tell(ZURICH401, dns_upstreams=(FILTERING_RESOLVER,))
        namespaces.eventually(lambda: advertiser() == "0.0.0.0", what="the filter")
        world.tell(ZURICH401, dns_upstreams=(WHOAMI,))
        namespaces.eventually(lambda: advertiser() == "NXDOMAIN", what="no filter")
        assert world.resolve("whoami.test") == "198.18.11.1"
        world.pia.control.fail({"server": {"zurich401": "dead"}})
        namespaces.eventually(lambda: advertiser() in {None, "REFUSED"}, what="no answer")
    assert world.pia.control.leaks(before).packets == 0


def test_a_resolver_that_ends_is_started_again(world: World) -> None:
    world.tell(ZURICH401)
    world.give_token()
    with world.api(), world.gateway() as gateway:
        world.wait_until_up()
        gateway.kill_resolver()
        namespaces.eventually(
            lambda: world.resolve("whoami.test") == "198.18.11.1", what="an answer again"
        )
        namespaces.eventually(lambda: "dnsmasq ended" in gateway.logs(), what="a line in the log")


def test_the_gateway_runs_as_nobody_with_three_capabilities(world: World) -> None:
    world.tell(ZURICH401)
    with world.api(), world.gateway() as gateway:
        namespaces.eventually(lambda: world.probe("livez") == 200, what="a gateway that lives")
        assert {name: gateway.status()[name] for name in ("Uid", "Gid", "CapEff", "CapAmb")} == {
            "Uid": "65534 65534 65534 65534",
            "Gid": "65534 65534 65534 65534",
            "CapEff": "0000000000003400",  # NET_BIND_SERVICE, NET_ADMIN, NET_RAW
            "CapAmb": "0000000000003400",
        }
        assert gateway.status()["NoNewPrivs"] == "1"


def test_the_gateway_ends_promptly_when_told_to(world: World) -> None:
    world.tell(ZURICH401)
    world.give_token()
    with world.api(), world.gateway() as gateway:
        world.wait_until_up()
        gateway.terminate()
        assert gateway.started.wait(timeout=3) == 0


def test_nothing_can_be_reached_at_the_gateway_from_the_tunnel(world: World) -> None:
    world.tell(ZURICH401)
    world.give_token()
    with world.api() as api, world.gateway():
        namespaces.eventually(lambda: "session" in api.status, what="a session in the status")
        assert world.probe("readyz") == 200  # it listens, and its eth0 may be asked
        ours = api.status["session"]["peerAddress"]
        assert not world.reached_from_server("zurich401", ours, 8080)
        assert world.dropped("dropped_input") > 0
