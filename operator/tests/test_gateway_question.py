"""A question to a resolver and its answers, byte by byte, against dnspython."""

from __future__ import annotations

import ipaddress

import dns.message
import dns.rcode
import dns.rrset
import pytest

from piavpn.gateway import question
from piavpn.gateway.question import Answer

NAME = "www.privateinternetaccess.com"
ADDRESS = ipaddress.IPv4Address("198.18.0.2")


def response() -> dns.message.Message:
    asked = dns.message.from_wire(question.encode(NAME, 0x1234))
    return dns.message.make_response(asked)


def test_a_question_asks_for_the_names_ipv4_addresses() -> None:
    asked = dns.message.from_wire(question.encode(NAME, 0x1234))
    assert asked.id == 0x1234
    assert [record.to_text() for record in asked.question] == [f"{NAME}. IN A"]
    assert "RD" in asked.to_text()


def test_the_addresses_are_read_through_aliases_and_compressed_names() -> None:
    answer = response()
    answer.answer = [
        dns.rrset.from_text(f"{NAME}.", 60, "IN", "CNAME", "edge.example.test."),
        dns.rrset.from_text("edge.example.test.", 60, "IN", "A", "198.18.0.2"),
    ]
    assert question.decode(answer.to_wire(), 0x1234) == Answer((ADDRESS,), failed=False)


@pytest.mark.parametrize(
    ("code", "failed"),
    [(dns.rcode.NXDOMAIN, False), (dns.rcode.REFUSED, False), (dns.rcode.SERVFAIL, True)],
)
def test_a_resolver_that_could_not_find_out_says_so(code: dns.rcode.Rcode, failed: bool) -> None:  # noqa: FBT001
    answer = response()
    answer.set_rcode(code)
    assert question.decode(answer.to_wire(), 0x1234) == Answer((), failed=failed)


def test_another_questions_answer_is_none() -> None:
    with pytest.raises(question.GarbledError):
        question.decode(response().to_wire(), 0x1235)


def test_our_own_question_is_no_answer() -> None:
    with pytest.raises(question.GarbledError):
        question.decode(question.encode(NAME, 7), 7)


def test_an_answer_that_is_cut_off_anywhere_is_garbled() -> None:
    answer = response()
    answer.answer = [dns.rrset.from_text(f"{NAME}.", 60, "IN", "A", "198.18.0.2")]
    whole = answer.to_wire()
    for length in range(len(whole)):
        with pytest.raises(question.GarbledError):
            question.decode(whole[:length], 0x1234)
