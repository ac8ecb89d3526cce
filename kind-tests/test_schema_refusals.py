"""What the API server refuses, and the words in which it does. The CRDs must be installed."""

import json
from typing import Any

import pytest

from harness import kubectl, waiting

API_VERSION = "piavpn.dev/v1alpha1"
VPN_SPEC = {"credentialsSecretRef": {"name": "pia-credentials"}}
APP_SPEC = {"vpnRef": {"name": "home"}, "image": "docker.io/library/busybox:1.37"}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def vpn(name: str = "refusals", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "PiaVpn",
        "metadata": {"name": name},
        "spec": VPN_SPEC | spec,
    }


def app(name: str = "refusals", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "VpnServiceContainer",
        "metadata": {"name": name, "namespace": "default"},
        "spec": APP_SPEC | spec,
    }


def receiver(receive: dict[str, Any] | None = None, **hook: Any) -> dict[str, Any]:
    """Return an app that receives a port, and hears of it so."""
    return app(receiveForwardedPort=receive or {}, onPortForwarded=hook)


def tried(body: dict[str, Any]) -> dict[str, Any]:
    """Return the object as the API server would store it."""
    answer = kubectl.run(
        "create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(body)
    )
    stored: dict[str, Any] = json.loads(answer)
    return stored


REFUSED = [
    (vpn("Home"), "metadata.name"),
    (vpn("v" * 38), "metadata.name must be at most 37 lowercase letters"),
    (vpn("ho.me"), "metadata.name must be at most 37 lowercase letters"),
    (vpn(serverLocation="Swiss"), 'must be "auto" or the id of a PIA region'),
    (vpn(serverLocation=""), "spec.serverLocation"),
    (vpn(fallbackLocations=["nl_amsterdam", "nl_amsterdam"]), "must not name a region twice"),
    (vpn(fallbackLocations=["auto"]), 'must not contain "auto"'),
    (vpn(fallbackLocations=["New York"]), "must be the id of a PIA region"),
    (
        vpn(serverLocation="swiss", fallbackLocations=["swiss"]),
        "must not repeat serverLocation",
    ),
    (vpn(fallbackLocations=[f"r{n}" for n in range(17)]), "must have at most 16 items"),
    (vpn(credentialsSecretRef={"name": "Pia"}), "must be the name of a Secret"),
    (
        vpn(credentialsSecretRef={"name": "pia", "usernameKey": "user name"}),
        "must be a key of a Secret",
    ),
    (
        vpn(credentialsSecretRef={"name": "pia", "passwordKey": "pass/word"}),
        "must be a key of a Secret",
    ),
    (vpn(network={"subnet": "10.200.0.1/24"}), "whose host bits are zero"),
    (vpn(network={"subnet": "10.200.0.0"}), "must be an IPv4 network in CIDR notation"),
    (vpn(network={"subnet": "10.200.0.256/24"}), "must be an IPv4 network in CIDR notation"),
    (vpn(network={"subnet": "fd00::/64"}), "must be an IPv4 network in CIDR notation"),
    (vpn(network={"subnet": "10.0.0.0/8"}), "must have a prefix length of 16 to 28"),
    (vpn(network={"subnet": "10.200.0.0/29"}), "must have a prefix length of 16 to 28"),
    (vpn(network={"subnet": "198.18.0.0/24"}), "must lie in a private range"),
    (vpn(network={"subnet": "172.32.0.0/24"}), "must lie in a private range"),
    (vpn(gateway={"nodeSelector": {"a b": "c"}}), "as nodes can have them"),
    (vpn(gateway={"tolerations": [{"value": "nas"}]}), "must have a key, or operator Exists"),
    (
        vpn(gateway={"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}),
        "must not have a value with operator Exists",
    ),
    (vpn(gateway={"tolerations": [{"key": "a b"}]}), "one that a taint can have"),
    (
        vpn(gateway={"tolerations": [{"key": "a", "tolerationSeconds": 5}]}),
        "tolerationSeconds is for the effect NoExecute",
    ),
    (vpn(gateway={"priorityClassName": "High"}), "must be the name of a PriorityClass"),
    (vpn(returnAfter="soon"), "must be a duration from 1s to 168h"),
    (vpn(returnAfter="0s"), "must be a duration from 1s to 168h"),
    (vpn(renewal={"interval": "30 days"}), "must be a duration from 1m to 8760h"),
    (vpn(renewal={"interval": "59s"}), "must be a duration from 1m to 8760h"),
    (vpn(renewal={"gracePeriod": "169h"}), "must be a duration from 0s to 168h"),
    (vpn(renewal={"window": {"start": "03:00"}}), "spec.renewal.window.end: Required value"),
    (
        vpn(renewal={"window": {"start": "03:00", "end": "03:00"}}),
        "must not end when it starts",
    ),
    (
        vpn(renewal={"window": {"start": "24:00", "end": "03:00"}}),
        "must be a time of day from 00:00 to 23:59",
    ),
    (
        vpn(renewal={"window": {"start": "01:00", "end": "03:00", "timeZone": "my home"}}),
        "must be the name of a time zone",
    ),
    (vpn(dedicatedIpSecretRef={"name": "DIP"}), "must be the name of a Secret"),
    (
        vpn(
            dedicatedIpSecretRef={"name": "dip"},
            endpoints={"wireguardServers": [{"cn": "mine", "address": "198.18.9.1"}]},
        ),
        "must not stand beside endpoints.wireguardServers",
    ),
    (
        vpn(endpoints={"wireguardServers": [{"cn": "mine", "address": "my.example"}]}),
        "must be an IPv4 address",
    ),
    (
        vpn(endpoints={"wireguardServers": [{"cn": c, "address": "198.18.9.1"} for c in "ab"]}),
        "must not name an address twice",
    ),
    (vpn(endpoints={"dedicatedIPURL": "http://pia.example"}), "must be an https:// address"),
    (
        vpn(endpoints={"portCheckURL": "https://c.example/"}),
        "must be an https:// address with {port}",
    ),
    (vpn(endpoints={"statusURL": "http://pia.example"}), "must be an https:// address"),
    (vpn(endpoints={"tokenURL": "http://pia.example/token"}), "must be an https:// address"),
    (vpn(endpoints={"serverListURL": "pia.example"}), "must be an https:// address"),
    (vpn(endpoints={"serverListURL": "https://"}), "must be an https:// address"),
    (vpn(endpoints={"caBundle": "MIIB"}), "must hold certificates in PEM"),
    (vpn(endpoints={"publicCABundle": "MIIB"}), "must hold certificates in PEM"),
    (
        vpn(endpoints={"serverListPublicKey": CERTIFICATE}),
        "must be a public key in PEM",
    ),
    (vpn(dns={"upstreams": ["dns.example"]}), "must be an IPv4 address"),
    (vpn(dns={"upstreams": ["192.168.1.1"]}), "must be an address that the tunnel leads to"),
    (vpn(dns={"upstreams": ["9.9.9.9", "9.9.9.9"]}), "Duplicate value"),
    (vpn(dns={"upstreams": [f"9.9.9.{n}" for n in range(3)]}), "must have at most 2 items"),
    (vpn(bypassCIDRs=["0.0.0.0/0"]), "must have a prefix length of 16 to 32"),
    (vpn(bypassCIDRs=["10.0.0.0/8"]), "must have a prefix length of 16 to 32"),
    (vpn(bypassCIDRs=["198.51.100.0/24"]), "must lie in a private range"),
    (vpn(bypassCIDRs=["192.168.1.7/24"]), "whose host bits are zero"),
    (vpn(httpProxy={"port": 8080}), "must not be 8080"),
    (vpn(httpProxy={"port": 80}), "spec.httpProxy.port"),
    (
        vpn(allowedNamespaces={"matchExpressions": [{"key": "team", "operator": "In"}]}),
        "values are for the operators In and NotIn",
    ),
    (
        vpn(
            allowedNamespaces={
                "matchExpressions": [{"key": "team", "operator": "Exists", "values": ["home"]}]
            }
        ),
        "values are for the operators In and NotIn",
    ),
    (vpn(serverlocation="swiss"), 'unknown field "spec.serverlocation"'),
    (app("9lives"), "begin with a letter"),
    (app("a" * 53), "metadata.name must be at most 52 lowercase letters"),
    (app("we.b"), "metadata.name must be at most 52 lowercase letters"),
    (app(vpnRef={"name": "ho.me"}), "must be the name of a PiaVpn"),
    (app(vpnRef={}), "spec.vpnRef.name: Required value"),
    (app(ip="10.200.0.256"), "must be an IPv4 address"),
    (app(ip="10.200.0.010"), "must be an IPv4 address"),
    (app(ip="fd00::1:2:3"), "must be an IPv4 address"),
    (app(bypassCIDRs=["0.0.0.0/1"]), "must have a prefix length of 16 to 32"),
    (app(bypassCIDRs=["8.8.8.8/32"]), "must lie in a private range"),
    (app(image="busybox 1.37"), "must be an image reference without spaces"),
    (app(imagePullPolicy="Sometimes"), 'supported values: "Always", "IfNotPresent", "Never"'),
    (app(env=[{"name": "1ST"}]), "must not begin with a digit"),
    (app(env=[{"name": "A"}, {"name": "A"}]), "Duplicate value"),
    (app(ports=[{"name": "web", "port": 0}]), "greater than or equal to 1"),
    (app(ports=[{"name": "web", "port": 65536}]), "less than or equal to 65535"),
    (app(ports=[{"name": "w", "port": 80}, {"name": "w", "port": 81}]), "Duplicate value"),
    (
        app(ports=[{"name": "a", "port": 80}, {"name": "b", "port": 80}]),
        "must not have a port number of the same protocol twice",
    ),
    (app(receiveForwardedPort={"port": 0}), "greater than or equal to 1"),
    (
        app(receiveForwardedPort={"protocol": "SCTP"}),
        'supported values: "TCP", "UDP", "Both"',
    ),
    (app(onPortForwarded={"script": "true"}), "needs receiveForwardedPort"),
    (receiver(), "must have either script or client"),
    (receiver(script="true", client="Deluge"), "must have either script or client"),
    (receiver(client="rTorrent"), 'supported values: "qBittorrent", "Transmission", "Deluge"'),
    (receiver(script="true", clientPort=80), "clientPort and clientSecretRef need client"),
    (receiver(client="Deluge", image="a:1"), "image, env and envFrom need script"),
    (
        receiver({"port": 6881}, client="Deluge"),
        "must be absent where onPortForwarded.client is set",
    ),
    (
        receiver(script="true", envFrom=[{"secretRef": {"name": "A B"}}]),
        "must be the name of a Secret",
    ),
    (app(onExitAddressChanged={"image": "a:1"}), "script: Required value"),
    (app(ports=[{"name": "80", "port": 80}]), "with at least one letter"),
    (app(ports=[{"name": "a--b", "port": 80}]), "single hyphens"),
    (
        app(ports=[{"name": "web", "port": 80, "protocol": "SCTP"}]),
        'supported values: "TCP", "UDP"',
    ),
]


@pytest.mark.parametrize(("body", "words"), REFUSED)
def test_a_mistake_is_refused_in_words_that_say_what_is_wrong(
    body: dict[str, Any], words: str
) -> None:
    with pytest.raises(kubectl.KubectlError) as refusal:
        tried(body)
    assert words in str(refusal.value)
    assert "evaluating rule" not in str(refusal.value)  # a rule itself went wrong


@pytest.mark.parametrize(
    "body",
    [
        vpn(),
        vpn("v" * 37),
        vpn("9"),
        vpn(serverLocation="us-salt-lake-city", fallbackLocations=["nl_amsterdam", "us3"]),
        vpn(network={"subnet": "192.168.240.0/28"}),
        vpn(network={"subnet": "100.64.0.0/16"}),
        vpn(endpoints={"tokenURL": "https://198.18.0.2/token", "caBundle": CERTIFICATE}),
        app("a" * 52, ip="10.200.0.10", env=[{"name": "A"}, {"name": "b.c-D_1", "value": "x"}]),
        app(ports=[{"name": "dns", "port": 53}, {"name": "dns-u", "port": 53, "protocol": "UDP"}]),
        receiver(client="qBittorrent", clientPort=80, clientSecretRef={"name": "login"}),
        receiver({"port": 6881}, script="true", envFrom=[{"secretRef": {"name": "keys"}}]),
        app(onExitAddressChanged={"script": "true"}),
    ],
)
def test_what_is_meant_so_is_taken(body: dict[str, Any]) -> None:
    assert tried(body)["metadata"]["name"] == body["metadata"]["name"]


def test_absent_fields_are_filled_in_with_the_documented_defaults() -> None:
    assert tried(vpn())["spec"] == {
        "credentialsSecretRef": {
            "name": "pia-credentials",
            "usernameKey": "username",
            "passwordKey": "password",
        },
        "serverLocation": "auto",
        "network": {"serviceIsolation": True, "nodeEncryption": "None"},
        "dns": {},
        "renewal": {"interval": "720h", "gracePeriod": "1h"},
        "returnAfter": "30m",
        "endpoints": {
            "tokenURL": "https://www.privateinternetaccess.com/api/client/v2/token",
            "serverListURL": "https://serverlist.piaservers.net/vpninfo/servers/v6",
            "dedicatedIPURL": "https://www.privateinternetaccess.com/api/client/v2/dedicated_ip",
            "statusURL": "https://www.privateinternetaccess.com/api/client/status",
        },
    }
    ports = [{"name": "web", "port": 8080}]
    stored = tried(app(ports=ports, env=[{"name": "A"}]))["spec"]
    assert stored["ports"] == [{"name": "web", "port": 8080, "protocol": "TCP"}]
    assert stored["env"] == [{"name": "A", "value": ""}]
    assert stored["suspend"] is False


def test_a_subnet_in_use_is_kept_whatever_the_spec_is_changed_to() -> None:
    body = vpn()
    kubectl.apply(body)
    try:
        used = waiting.eventually(_subnet_of_refusals, "a subnet was allocated")
        with pytest.raises(kubectl.KubectlError, match=f"the subnet in use is {used}"):
            _set_subnet("10.231.0.0/24")
        _set_subnet(used)
    finally:
        kubectl.delete(body)


def _subnet_of_refusals() -> str:
    path = "jsonpath={.status.network.subnet}"
    return kubectl.run("get", "piavpn", "refusals", "-o", path)


def _set_subnet(subnet: str) -> None:
    change = {"spec": {"network": {"subnet": subnet}}}
    kubectl.run("patch", "piavpn", "refusals", "--type=merge", "-p", json.dumps(change))
