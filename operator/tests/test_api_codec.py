"""Objects of the API become dataclasses and come back as they were."""

import ipaddress
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any

import pytest

from piavpn.api import codec, conditions, piavpns, pods, protocols, vpnapps

IPv4Address, IPv4Network = ipaddress.IPv4Address, ipaddress.IPv4Network

PIA_VPN = {
    "apiVersion": "piavpn.dev/v1alpha1",
    "kind": "PiaVpn",
    "metadata": {"name": "home", "uid": "u-1", "generation": 3},
    "spec": {
        "credentialsSecretRef": {
            "name": "pia-credentials",
            "usernameKey": "user",
            "passwordKey": "password",
        },
        "serverLocation": "swiss",
        "fallbackLocations": ["nl_amsterdam", "de-frankfurt"],
        "network": {
            "subnet": "10.200.0.0/24",
            "serviceIsolation": False,
            "nodeEncryption": "WireGuard",
        },
        "dns": {"upstreams": ["9.9.9.9"]},
        "bypassCIDRs": ["192.168.1.0/24"],
        "endpoints": {
            "tokenURL": "https://198.18.0.2/token",
            "serverListURL": "https://198.18.0.2/servers",
            "dedicatedIPURL": "https://198.18.0.2/dip",
            "statusURL": "https://198.18.0.2/status",
            "publicCABundle": "-----BEGIN CERTIFICATE-----",
            "wireguardServers": [{"cn": "mine", "address": "198.18.9.9", "port": 1338}],
        },
        "dedicatedIpSecretRef": {"name": "pia-dip", "key": "dip"},
        "returnAfter": "2h",
        "renewal": {
            "interval": "168h",
            "gracePeriod": "30m",
            "window": {"start": "03:00", "end": "05:30", "timeZone": "Europe/Zurich"},
        },
    },
    "status": {
        "observedGeneration": 2,
        "network": {
            "subnet": "10.200.0.0/24",
            "bridge": "br-home",
            "hostAddress": "10.200.0.1",
            "gatewayAddress": "10.200.0.2",
        },
        "session": {
            "region": "swiss",
            "server": "zurich401",
            "serverAddress": "198.18.11.1",
            "link": "piaw0",
            "peerAddress": "10.5.0.7",
            "publicKey": "k",
            "registeredTime": "2026-11-23T04:00:00Z",
            "renewTime": "2026-12-23T04:00:00Z",
        },
        "exitAddress": "198.18.99.1",
        "candidateServers": ["198.18.11.1", "198.18.11.2"],
        "servers": [{"region": "swiss", "latencyMilliseconds": 17}],
        "services": 2,
        "nodeName": "piavpn-worker",
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Ready",
                "message": "",
                "observedGeneration": 2,
                "lastTransitionTime": "2026-11-23T04:00:05Z",
            }
        ],
    },
}

VPN_SERVICE_CONTAINER = {
    "apiVersion": "piavpn.dev/v1alpha1",
    "kind": "VpnServiceContainer",
    "metadata": {
        "name": "web",
        "namespace": "media",
        "uid": "u-2",
        "generation": 1,
        "creationTimestamp": "2026-11-23T03:59:00Z",
        "deletionTimestamp": "2026-11-23T04:30:00Z",
    },
    "spec": {
        "vpnRef": {"name": "home"},
        "image": "docker.io/library/busybox:1.37",
        "ip": "10.200.0.10",
        "imagePullPolicy": "Never",
        "command": ["sh", "-c"],
        "args": ["exec httpd -f"],
        "env": [{"name": "TZ", "value": "Europe/Zurich"}],
        "envFrom": [{"configMapRef": {"name": "settings", "optional": False}}],
        "ports": [{"name": "web", "port": 8080, "protocol": "TCP"}],
        "service": {"type": "LoadBalancer", "loadBalancerIP": "192.168.1.40"},
        "mounts": [
            {"path": "/config", "readOnly": False, "size": "2Gi"},
            {"path": "/data", "readOnly": True, "nfs": {"server": "nas.lan", "path": "/data"}},
        ],
        "livenessProbe": {"httpGet": {"path": "/", "port": "web"}},
        "podLabels": {"team": "home"},
        "template": {"spec": {"terminationGracePeriodSeconds": 60}},
        "suspend": True,
        "bypassCIDRs": ["192.168.7.9/32"],
    },
    "status": {"observedGeneration": 1, "address": "10.200.0.10", "conditions": []},
}


def test_a_pia_vpn_is_read_field_by_field() -> None:
    assert piavpns.PiaVpn.from_body(PIA_VPN) == piavpns.PiaVpn(
        name="home",
        uid="u-1",
        generation=3,
        spec=piavpns.PiaVpnSpec(
            credentials_secret_ref=piavpns.CredentialsSecretRef(
                name="pia-credentials", username_key="user"
            ),
            server_location="swiss",
            fallback_locations=("nl_amsterdam", "de-frankfurt"),
            dns=piavpns.DnsSpec((ipaddress.IPv4Address("9.9.9.9"),)),
            bypass_cidrs=(ipaddress.IPv4Network("192.168.1.0/24"),),
            network=piavpns.NetworkSpec(
                IPv4Network("10.200.0.0/24"),
                service_isolation=False,
                node_encryption=piavpns.NodeEncryption.WIREGUARD,
            ),
            endpoints=piavpns.Endpoints(
                token_url="https://198.18.0.2/token",
                server_list_url="https://198.18.0.2/servers",
                dedicated_ip_url="https://198.18.0.2/dip",
                status_url="https://198.18.0.2/status",
                public_ca_bundle="-----BEGIN CERTIFICATE-----",
                wireguard_servers=(
                    piavpns.WireguardServer("mine", IPv4Address("198.18.9.9"), 1338),
                ),
            ),
            dedicated_ip_secret_ref=piavpns.DedicatedIpSecretRef("pia-dip", "dip"),
            return_after=timedelta(hours=2),
            renewal=piavpns.RenewalSpec(
                interval=timedelta(days=7),
                grace_period=timedelta(minutes=30),
                window=piavpns.RenewalWindow(time(3), time(5, 30), "Europe/Zurich"),
            ),
        ),
        status=piavpns.PiaVpnStatus(
            observed_generation=2,
            network=piavpns.NetworkStatus(
                subnet=IPv4Network("10.200.0.0/24"),
                bridge="br-home",
                host_address=IPv4Address("10.200.0.1"),
                gateway_address=IPv4Address("10.200.0.2"),
            ),
            session=piavpns.Session(
                region="swiss",
                server="zurich401",
                server_address=IPv4Address("198.18.11.1"),
                link="piaw0",
                peer_address=IPv4Address("10.5.0.7"),
                public_key="k",
                registered_time=datetime(2026, 11, 23, 4, tzinfo=UTC),
                renew_time=datetime(2026, 12, 23, 4, tzinfo=UTC),
            ),
            exit_address=IPv4Address("198.18.99.1"),
            candidate_servers=(IPv4Address("198.18.11.1"), IPv4Address("198.18.11.2")),
            servers=(piavpns.MeasuredRegion("swiss", 17),),
            services=2,
            node_name="piavpn-worker",
            conditions=(
                conditions.Condition(
                    type="Ready",
                    status=conditions.Status.TRUE,
                    reason="Ready",
                    observed_generation=2,
                    last_transition_time=datetime(2026, 11, 23, 4, 0, 5, tzinfo=UTC),
                ),
            ),
        ),
    )


def test_a_vpn_service_container_is_read_field_by_field() -> None:
    assert vpnapps.VpnServiceContainer.from_body(
        VPN_SERVICE_CONTAINER
    ) == vpnapps.VpnServiceContainer(
        name="web",
        namespace="media",
        uid="u-2",
        generation=1,
        created=datetime(2026, 11, 23, 3, 59, tzinfo=UTC),
        deleting=True,
        spec=vpnapps.VpnServiceContainerSpec(
            vpn_ref=vpnapps.VpnRef("home"),
            image="docker.io/library/busybox:1.37",
            ip=IPv4Address("10.200.0.10"),
            image_pull_policy=vpnapps.ImagePullPolicy.NEVER,
            command=("sh", "-c"),
            args=("exec httpd -f",),
            env=(pods.EnvVar("TZ", "Europe/Zurich"),),
            env_from=(pods.EnvFrom(config_map_ref=pods.ConfigMapRef("settings")),),
            ports=(vpnapps.ServicePort("web", 8080, protocols.Protocol.TCP),),
            service=pods.ServiceOptions(
                pods.ServiceType.LOAD_BALANCER, load_balancer_ip="192.168.1.40"
            ),
            mounts=(
                pods.Mount("/config", size="2Gi"),
                pods.Mount("/data", read_only=True, nfs={"server": "nas.lan", "path": "/data"}),
            ),
            liveness_probe={"httpGet": {"path": "/", "port": "web"}},
            pod_labels={"team": "home"},
            template=pods.Template(spec={"terminationGracePeriodSeconds": 60}),
            suspend=True,
            bypass_cidrs=(ipaddress.IPv4Network("192.168.7.9/32"),),
        ),
        status=vpnapps.VpnServiceContainerStatus(
            observed_generation=1, address=IPv4Address("10.200.0.10")
        ),
    )


@pytest.mark.parametrize(
    ("cls", "raw"),
    [
        (piavpns.PiaVpnSpec, PIA_VPN["spec"]),
        (piavpns.PiaVpnStatus, PIA_VPN["status"]),
        (vpnapps.VpnServiceContainerSpec, VPN_SERVICE_CONTAINER["spec"]),
        (vpnapps.VpnServiceContainerStatus, VPN_SERVICE_CONTAINER["status"]),
    ],
)
def test_what_was_read_is_written_back_as_it_was(cls: type[Any], raw: dict[str, Any]) -> None:
    assert codec.encode(codec.decode(cls, raw)) == raw


def test_a_spec_with_the_required_fields_alone_takes_the_defaults() -> None:
    spec = codec.decode(piavpns.PiaVpnSpec, {"credentialsSecretRef": {"name": "pia-credentials"}})
    assert codec.encode(spec) == {
        "credentialsSecretRef": {
            "name": "pia-credentials",
            "usernameKey": "username",
            "passwordKey": "password",
        },
        "serverLocation": "auto",
        "fallbackLocations": [],
        "network": {"serviceIsolation": True, "nodeEncryption": "None"},
        "dns": {"upstreams": []},
        "endpoints": {
            "tokenURL": "https://www.privateinternetaccess.com/api/client/v2/token",
            "serverListURL": "https://serverlist.piaservers.net/vpninfo/servers/v6",
            "dedicatedIPURL": "https://www.privateinternetaccess.com/api/client/v2/dedicated_ip",
            "wireguardServers": [],
            "statusURL": "https://www.privateinternetaccess.com/api/client/status",
        },
        "renewal": {"interval": "720h", "gracePeriod": "1h"},
        "returnAfter": "30m",
        "bypassCIDRs": [],
    }


def test_what_has_its_default_need_not_be_written() -> None:
    app = vpnapps.VpnServiceContainerSpec(
        vpnapps.VpnRef("home"),
        "busybox",
        env=(pods.EnvVar("A"), pods.EnvVar("B", "b")),
        ports=(vpnapps.ServicePort("web", 80),),
    )
    assert codec.encode(app, defaults=False) == {
        "vpnRef": {"name": "home"},
        "image": "busybox",
        "env": [{"name": "A"}, {"name": "B", "value": "b"}],
        "ports": [{"name": "web", "port": 80}],
    }


def test_a_field_that_is_null_counts_as_absent() -> None:
    assert codec.decode(piavpns.NetworkSpec, {"subnet": None}) == piavpns.NetworkSpec()


def test_a_field_of_a_newer_version_is_left_alone() -> None:
    assert codec.decode(vpnapps.VpnRef, {"name": "home", "uid": "u"}) == vpnapps.VpnRef("home")


def test_a_new_object_without_status_is_read() -> None:
    body = {key: value for key, value in PIA_VPN.items() if key != "status"}
    assert piavpns.PiaVpn.from_body(body).status == piavpns.PiaVpnStatus()


@pytest.mark.parametrize(
    ("cls", "raw", "complaint"),
    [
        (piavpns.NetworkSpec, {"subnet": "10.0.0.1/24"}, "subnet: .*has host bits set"),
        (vpnapps.VpnServiceContainerStatus, {"address": "fe80::1"}, "address: "),
        (vpnapps.ServicePort, {"name": "web", "port": "eighty"}, "port: "),
        (vpnapps.ServicePort, {"name": "web", "port": 80, "protocol": "SCTP"}, "protocol: "),
        (vpnapps.VpnRef, {}, "VpnRef: .*name"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_field_s_name(
    cls: type[Any], raw: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        codec.decode(cls, raw)


def test_a_time_is_written_in_utc_with_whole_seconds() -> None:
    zurich = timezone(timedelta(hours=1))
    moment = datetime(2026, 11, 23, 5, 0, 0, 999_999, tzinfo=zurich)
    assert codec.format_time(moment) == "2026-11-23T04:00:00Z"
