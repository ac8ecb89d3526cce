"""Passes after a PiaVpn or a Secret was deleted."""

from __future__ import annotations

import kube_server
from controller_world import ACCOUNT, NAMESPACE, World, eventually

from piavpn import kube


def test_a_deleted_vpn_s_subnet_is_given_away_only_when_its_apps_pods_are_gone(app: World) -> None:
    app.api.remove(kube.PIA_VPNS, "home")
    app.vpn("downloads", network={"subnet": "10.100.0.0/24"})
    app.pass_over("downloads")
    assert app.vpn_condition("Accepted", "downloads") == ("False", "SubnetOverlaps")
    app.api.remove(kube.PODS, "web-0", "media")
    app.pass_over("downloads")
    assert app.vpn_condition("Accepted", "downloads") == ("True", "Accepted")


def test_apps_of_a_deleted_vpn_are_left_alone_and_told(app: World) -> None:
    app.api.remove(kube.PIA_VPNS, "home")
    app.pass_over("home")
    assert app.service_condition("Accepted") == ("False", "VpnNotFound")
    assert app.api.get(kube.PODS, "web-0", "media")
    assert app.api.get(kube.VPN_SERVICE_CONTAINERS, "web", "media")["status"]["address"]


def test_a_vpn_that_is_being_deleted_gets_no_new_objects_and_no_login(world: World) -> None:
    world.credentials()
    world.api.put(kube.PIA_VPNS, "home", metadata={"deletionTimestamp": kube_server.CREATED})
    world.vpn()
    world.pass_over("home")
    assert world.api.all(kube.STATEFUL_SETS) == []
    assert world.pia.logins == 0


def test_an_account_s_secret_goes_with_the_last_vpn_that_used_it(tunnel: World) -> None:
    tunnel.vpn("downloads")
    tunnel.api.remove(kube.PIA_VPNS, "home")
    tunnel.loop.wake_all()
    tunnel.pass_over("downloads")
    assert tunnel.api.get(kube.SECRETS, ACCOUNT, NAMESPACE)
    tunnel.api.remove(kube.PIA_VPNS, "downloads")
    tunnel.loop.wake_all()
    eventually(lambda: tunnel.names_of(kube.SECRETS) == {"pia-credentials"})


def test_so_does_the_kept_server_list(tunnel: World) -> None:
    lists = {name for name in tunnel.names_of(kube.CONFIG_MAPS) if "server-list" in name}
    assert len(lists) == 1
    tunnel.loop.wake_all()
    tunnel.pass_over("home")
    assert lists < tunnel.names_of(kube.CONFIG_MAPS)
    tunnel.api.remove(kube.PIA_VPNS, "home")
    tunnel.loop.wake_all()
    eventually(lambda: not lists & tunnel.names_of(kube.CONFIG_MAPS))


def test_a_list_that_went_with_the_last_vpn_is_fetched_and_kept_anew_for_the_next(
    tunnel: World,
) -> None:
    lists = {name for name in tunnel.names_of(kube.CONFIG_MAPS) if "server-list" in name}
    tunnel.api.remove(kube.PIA_VPNS, "home")
    tunnel.loop.wake_all()
    eventually(lambda: not lists & tunnel.names_of(kube.CONFIG_MAPS))
    tunnel.vpn("downloads")
    tunnel.loop.wake("downloads")
    eventually(lambda: lists < tunnel.names_of(kube.CONFIG_MAPS))


def test_a_deleted_secret_refuses_the_vpn_and_leaves_its_tunnel_alone(tunnel: World) -> None:
    tunnel.api.remove(kube.SECRETS, "pia-credentials", NAMESPACE)
    before = len(tunnel.api.changes)
    tunnel.pass_over("home")
    assert tunnel.vpn_condition("Accepted") == ("False", "CredentialsNotFound")
    changed = {change.resource for change in tunnel.api.changes[before:]}
    assert changed == {"piavpns/status", "events"}
