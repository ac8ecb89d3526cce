"""What the gateway reads and writes as text or bytes: status, files, resolver, pings."""

from __future__ import annotations

import dataclasses
import ipaddress
import pathlib
from datetime import UTC, datetime

import pytest
from gateway_objects import CONFIG, NEXT_SESSION, SESSION, A, B, C

from piavpn.api.conditions import Condition, Status
from piavpn.api.gateway_config import Renewal
from piavpn.gateway import decide, dns, inputs, kept, probe, status
from piavpn.gateway.kept import Kept
from piavpn.gateway.memory import Failure, Memory
from piavpn.gateway.moves import Move, Purpose
from piavpn.gateway.roles import Candidate, Current, Draining
from piavpn.gateway.setbacks import Setback
from piavpn.gateway.slots import SLOTS

TOLD = datetime(2026, 11, 23, 4, 0, 5, tzinfo=UTC)
EARLIER = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


UP = Memory(current=Current(SESSION), exit_address=ipaddress.IPv4Address("198.18.99.1"))
RENEWAL = Renewal(SESSION.public_key, datetime(2026, 12, 23, 4, 0, tzinfo=UTC))
RENEWING = dataclasses.replace(CONFIG, renewal=RENEWAL)


def test_the_status_of_a_tunnel_that_is_up() -> None:
    report = status.of_step(decide.Watch(Current(SESSION)), UP, RENEWING)
    assert report is not None
    before = (
        Condition("Registered", Status.TRUE, "Registered", last_transition_time=EARLIER),
        Condition("TunnelUp", Status.FALSE, "ServerSilent", last_transition_time=EARLIER),
    )
    assert status.body("home", report, before=before, generation=4, now=TOLD) == {
        "metadata": {"name": "home"},
        "status": {
            "session": {
                "region": "swiss",
                "server": "zurich401",
                "serverAddress": "198.18.11.1",
                "link": "piaw0",
                "peerAddress": "10.5.1.7",
                "publicKey": "b3VyIHB1YmxpYyBrZXkgaGFzIDMyIGJ5dGVzIHRvby4=",
                "registeredTime": "2026-11-23T04:00:00Z",
                "renewTime": "2026-12-23T04:00:00Z",
            },
            "exitAddress": "198.18.99.1",
            "candidateServers": ["198.18.11.1", "198.18.11.2", "198.18.13.1"],
            "conditions": [
                {
                    "type": "Registered",
                    "status": "True",
                    "reason": "Registered",
                    "message": "zurich401 (swiss) knows the gateway's key.",
                    "observedGeneration": 4,
                    "lastTransitionTime": "2026-11-23T03:00:00Z",
                },
                {
                    "type": "TunnelUp",
                    "status": "True",
                    "reason": "ServerAnswers",
                    "message": "zurich401 (swiss) answers pings.",
                    "observedGeneration": 4,
                    "lastTransitionTime": "2026-11-23T04:00:05Z",
                },
            ],
        },
    }


def test_a_renewal_of_another_session_is_not_told_of_this_one() -> None:
    config = dataclasses.replace(CONFIG, renewal=Renewal(NEXT_SESSION.public_key, RENEWAL.time))
    report = status.of_step(decide.Watch(Current(SESSION)), UP, config)
    assert report is not None
    assert report.session == SESSION.to_status()


def test_a_renewal_that_fails_is_told_while_the_tunnel_stays_up() -> None:
    move = Move(Purpose.RENEWAL, (B,))
    failing = dataclasses.replace(
        UP, moving=Setback(3, 0.0), failure=Failure("Unreachable", "zurich402 cannot be reached.")
    )
    report = status.of_step(decide.Watch(Current(SESSION), waiting=move), failing, RENEWING)
    assert report is not None
    assert report.registered == Condition(
        "Registered",
        Status.TRUE,
        "RenewalFailing",
        "zurich401 (swiss) knows the gateway's key. A session at another server is due (Renewal) "
        "and failed 3 times so far: zurich402 cannot be reached. The tunnel stays, and the gateway "
        "tries again.",
    )
    assert report.tunnel_up.status is Status.TRUE


def test_a_renewal_whose_token_is_rejected_is_told_as_what_the_operator_logs_in_for() -> None:
    move = Move(Purpose.RENEWAL, (B,))
    failing = dataclasses.replace(
        UP, moving=Setback(1, 0.0), failure=Failure("TokenRejected", "zurich402 rejects the token.")
    )
    report = status.of_step(decide.Watch(Current(SESSION), waiting=move), failing, RENEWING)
    assert report is not None
    assert (report.registered.status, report.registered.reason) == (Status.TRUE, "TokenRejected")
    assert report.registered.message.endswith(
        "and failed 1 times so far: zurich402 rejects the token. The tunnel stays, and the gateway "
        "tries again."
    )


def test_the_status_of_a_gateway_that_waits_has_no_session() -> None:
    why = Failure("NoServers", "There is no server.")
    report = status.of_step(decide.Wait(why), Memory(), None)
    assert report is not None
    assert status.body("home", report, before=(), generation=1, now=TOLD) == {
        "metadata": {"name": "home"},
        "status": {
            "conditions": [
                {
                    "type": kind,
                    "status": "False",
                    "reason": "NoServers",
                    "message": "There is no server.",
                    "observedGeneration": 1,
                    "lastTransitionTime": "2026-11-23T04:00:05Z",
                }
                for kind in ("Registered", "TunnelUp")
            ]
        },
    }


def test_servers_that_are_left_or_tried_still_are_told_though_the_operator_listed_others() -> None:
    elsewhere = dataclasses.replace(CONFIG, servers=(C,))
    memory = Memory(
        current=Current(NEXT_SESSION), draining=Draining(SESSION, since=0.0, until=3600.0)
    )
    report = status.of_step(decide.Watch(Current(NEXT_SESSION)), memory, elsewhere)
    assert report is not None
    assert report.candidates == (C.address, NEXT_SESSION.address, SESSION.address)
    trying = Memory(current=Current(SESSION), candidate=Candidate(B, SLOTS[1], Purpose.RENEWAL))
    report = status.of_step(decide.Watch(Current(SESSION)), trying, elsewhere)
    assert report is not None
    assert report.candidates == (C.address, SESSION.address, B.address)


def test_the_server_of_a_session_that_is_yet_to_be_adopted_is_told() -> None:
    wait = decide.Wait(Failure("WaitingForNode", "The node agent has yet to make piaw1."))
    report = status.of_step(wait, Memory(kept=Kept(SESSION)), None)
    assert report is not None
    assert report.candidates == (SESSION.address,)


def test_an_attempt_is_told_only_until_one_failed() -> None:
    step = decide.Register(Candidate(A, SLOTS[0]), CONFIG, "token")
    first = status.of_step(step, Memory(), CONFIG)
    assert first is not None
    assert first.registered.message == "Registering at zurich401 (swiss)."
    failed = Memory(failure=Failure("Unreachable", "no answer"))
    assert status.of_step(step, failed, CONFIG) is None


def test_an_attempt_beside_a_tunnel_leaves_its_status_alone() -> None:
    step = decide.Register(Candidate(B, SLOTS[1], Purpose.RENEWAL), CONFIG, "token")
    assert status.of_step(step, UP, CONFIG) is None


def test_adopting_changes_nothing_that_was_told() -> None:
    assert status.of_step(decide.Adopt(Kept(SESSION)), Memory(), CONFIG) is None


def test_what_is_kept_is_read_back_as_it_was(tmp_path: pathlib.Path) -> None:
    left = Kept(SESSION, NEXT_SESSION, 1234.5, ipaddress.IPv4Address("198.18.99.1"))
    kept.save(tmp_path / "sessions.json", left)
    assert kept.load(tmp_path / "sessions.json") == left


def test_no_session_is_kept_as_well(tmp_path: pathlib.Path) -> None:
    kept.save(tmp_path / "sessions.json", Kept())
    assert kept.load(tmp_path / "sessions.json") == Kept()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"current": 1}', '{"current": {"region": "swiss"}}']
)
def test_a_damaged_file_keeps_nothing(tmp_path: pathlib.Path, content: str) -> None:
    (tmp_path / "sessions.json").write_text(content)
    assert kept.load(tmp_path / "sessions.json") == Kept()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"vpn": "home"}'])
def test_a_configuration_that_cannot_be_read_says_what_to_do(
    tmp_path: pathlib.Path, content: str
) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(inputs.InputError, match="operator and gateway must be of the same version"):
        inputs.read_config(tmp_path / "config.json")


def test_an_absent_configuration_says_who_makes_it(tmp_path: pathlib.Path) -> None:
    with pytest.raises(inputs.InputError, match="the operator makes its ConfigMap"):
        inputs.read_config(tmp_path / "config.json")


def test_a_configuration_is_read_as_the_operator_wrote_it(tmp_path: pathlib.Path) -> None:
    (tmp_path / "config.json").write_text(CONFIG.to_json())
    assert inputs.read_config(tmp_path / "config.json") == CONFIG


def test_an_absent_or_empty_token_is_none_yet(tmp_path: pathlib.Path) -> None:
    assert inputs.read_token(tmp_path / "token") is None
    (tmp_path / "token").write_text("\n")
    assert inputs.read_token(tmp_path / "token") is None
    (tmp_path / "token").write_text("0123abcd\n")
    assert inputs.read_token(tmp_path / "token") == "0123abcd"


def test_the_clusters_nameservers_are_those_of_ipv4() -> None:
    text = "search svc.cluster.local\nnameserver 10.96.0.10\nnameserver fd00::a\nnameserver\n"
    assert inputs.nameservers(text) == (ipaddress.IPv4Address("10.96.0.10"),)


def test_the_resolver_listens_on_the_bridge_alone_and_reads_no_file_of_the_pod() -> None:
    cluster = dns.cluster_upstreams("cluster.local", [ipaddress.IPv4Address("10.96.0.10")])
    config = dns.config(ipaddress.IPv4Address("10.100.0.2"), cluster)
    assert config == (
        "no-resolv\n"
        "no-hosts\n"
        "no-poll\n"
        "bind-interfaces\n"
        "listen-address=10.100.0.2\n"
        "server=/cluster.local/10.96.0.10\n"
        "server=192.0.2.53@10.100.0.2\n"
        "server=192.0.2.54@10.100.0.2\n"
        "local=/invalid/\n"
        "bogus-priv\n"
        "cache-size=10000\n"
        "dns-forward-max=1000\n"
        "log-facility=-\n"
        "pid-file\n"
    )


def test_cluster_names_have_upstreams_of_their_own() -> None:
    resolvers = [ipaddress.IPv4Address("10.96.0.10"), ipaddress.IPv4Address("10.96.0.11")]
    assert dns.cluster_upstreams("cluster.local", resolvers) == (
        "server=/cluster.local/10.96.0.10\nserver=/cluster.local/10.96.0.11\n"
    )


def test_cluster_names_go_nowhere_where_the_cluster_has_no_dns() -> None:
    assert dns.cluster_upstreams("cluster.local", []) == "local=/cluster.local/\n"


IP_HEADER = bytes.fromhex("4500002200004000 4001 0000 0a058001 0a050107")


def test_an_echo_request_has_the_bytes_of_rfc_792() -> None:
    assert probe.echo_request(0x1234, 0x0001) == bytes.fromhex("0800 a37c 1234 0001") + b"piavpn"


def test_the_answer_to_our_request_is_known_from_others() -> None:
    reply = IP_HEADER + bytes.fromhex("0000 ab7c 1234 0001") + b"piavpn"
    assert probe.is_reply(reply, 0x1234, 1)
    assert not probe.is_reply(reply, 0x1234, 2)
    assert not probe.is_reply(reply, 0x1235, 1)
    request = IP_HEADER + probe.echo_request(0x1234, 1)
    assert not probe.is_reply(request, 0x1234, 1)


@pytest.mark.parametrize("packet", [b"", b"\x45", IP_HEADER, IP_HEADER + b"\0\0\0"])
def test_a_cut_packet_is_no_answer(packet: bytes) -> None:
    assert not probe.is_reply(packet, 0, 0)


def test_the_checksum_of_a_message_with_its_checksum_is_zero() -> None:
    assert probe.checksum(probe.echo_request(0xFFFF, 0xABCD)) == 0
