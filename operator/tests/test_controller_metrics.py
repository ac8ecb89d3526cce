"""What Prometheus reads of the operator, as its passes and calls go."""

from __future__ import annotations

from controller_world import World, eventually
from kube_calls import Call
from kube_server import RefusalError
from pia_server import Reply

from piavpn import kube

OBJECTS = ("piavpn_vpn_", "piavpn_service_", "piavpn_server_list_", "piavpn_node_agent_")


def of_objects(world: World) -> dict[str, float]:
    """Return what is told of PiaVpns, apps and nodes, times as whether there is one."""
    return {
        name: value > 0 if "timestamp" in name else value
        for name, value in world.metrics().items()
        if name.startswith(OBJECTS)
    }


def eventually_of_objects(world: World, expected: dict[str, float]) -> None:
    eventually(lambda: of_objects(world) == expected, lambda: of_objects(world))


def test_readiness_of_tunnels_and_apps_is_told_and_what_is_gone_leaves_nothing(
    world: World,
) -> None:
    assert of_objects(world) == {}
    world.make_tunnel()
    world.make_app()
    world.service("waiting")
    world.pass_over("home")
    eventually_of_objects(
        world,
        {
            'piavpn_vpn_ready{vpn="home"}': 1,
            'piavpn_vpn_authenticated{reason="LoggedIn",vpn="home"}': 1,
            'piavpn_server_list_timestamp_seconds{vpn="home"}': True,
            'piavpn_service_ready{namespace="media",service="waiting",vpn="home"}': 0,
            'piavpn_service_ready{namespace="media",service="web",vpn="home"}': 1,
        },
    )
    world.api.remove(kube.PIA_VPNS, "home")
    world.api.remove(kube.VPN_SERVICE_CONTAINERS, "web", "media")
    world.pass_over("home")
    eventually_of_objects(
        world, {'piavpn_service_ready{namespace="media",service="waiting",vpn="home"}': 0}
    )
    world.api.remove(kube.VPN_SERVICE_CONTAINERS, "waiting", "media")
    world.pass_over("home")
    eventually_of_objects(world, {})


def test_an_app_that_is_suspended_is_not_told_to_be_unready(world: World) -> None:
    world.make_tunnel()
    world.service("paused", suspend=True)
    world.service("waiting")
    world.pass_over("home")
    waiting = 'piavpn_service_ready{namespace="media",service="waiting",vpn="home"}'
    eventually(lambda: of_objects(world).get(waiting) == 0)
    assert not any("paused" in name for name in of_objects(world))


def test_credentials_that_pia_refuses_are_told_until_others_are_taken(world: World) -> None:
    granted, world.pia.login = world.pia.login, Reply(401, "HTTP Token: Access denied.")
    world.credentials("wrong")
    world.vpn()
    world.loop.wake("home")

    def told() -> dict[str, float]:
        return {k: v for k, v in of_objects(world).items() if "authenticated" in k}

    refused = {'piavpn_vpn_authenticated{reason="BadCredentials",vpn="home"}': 0}
    eventually(lambda: told() == refused, told)
    world.pia.login = granted
    world.credentials()
    world.loop.wake_all()
    taken = {'piavpn_vpn_authenticated{reason="LoggedIn",vpn="home"}': 1}
    eventually(lambda: told() == taken, told)


def test_a_login_is_counted_with_what_it_took_and_so_are_the_passes(world: World) -> None:
    before = world.metrics()
    assert before['piavpn_logins_total{result="BadCredentials"}'] >= 0
    world.make_tunnel()

    def more(name: str) -> float:
        return world.metrics()[name] - before.get(name, 0)

    eventually(lambda: more('piavpn_logins_total{result="success"}') == 1)
    calls = "piavpn_pia_request_duration_seconds_count"
    assert more(f'{calls}{{call="login",result="success"}}') == 1
    assert more(f'{calls}{{call="serverList",result="success"}}') == 1
    assert more('piavpn_reconcile_total{result="success"}') > 1
    assert more('piavpn_reconcile_duration_seconds_count{result="success"}') > 1
    assert more('piavpn_reconcile_total{result="unexpected"}') == 0
    assert world.metrics()["piavpn_reconcile_queue_length"] >= 0


def test_a_pass_that_the_api_fails_is_counted_apart(world: World) -> None:
    def failing(call: Call) -> RefusalError | None:
        return RefusalError(500, "etcd") if call.resource == "nodes" else None

    world.api.fault = failing
    world.vpn()
    world.loop.wake("home")
    eventually(lambda: world.metrics()['piavpn_reconcile_total{result="api_error"}'] > 0)


def test_a_node_whose_agent_is_silent_is_told(world: World) -> None:
    world.make_tunnel()
    assert 'piavpn_node_agent_silent{node="n1"}' not in of_objects(world)
    world.api.put(
        kube.LEASES,
        "piavpn-node-agent-n1",
        "piavpn-system",
        metadata={"labels": {"piavpn.dev/node-agent": ""}},
        spec={"leaseDurationSeconds": 40, "renewTime": "2025-11-23T11:00:00.000000Z"},
    )
    world.leases.look()
    world.pass_over("home")
    eventually(lambda: of_objects(world).get('piavpn_node_agent_silent{node="n1"}') == 1)
