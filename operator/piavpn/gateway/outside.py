"""What lies beyond the server, asked by sockets that can use no other link than the session's."""

from __future__ import annotations

import ipaddress
import itertools
import os
import socket

from piavpn.api.gateway_config import GatewayConfig
from piavpn.gateway import question
from piavpn.gateway.session import Session
from piavpn.pia import errors, exit_address, port_check

PROBE_NAME = "www.privateinternetaccess.com"
"""What is asked for to see whether the server forwards anything: PIA's own, so it tells nothing."""
_PORT = 53
_TRIES, _SECONDS = 3, 1.0
_STATUS_SECONDS, _CHECK_SECONDS = 5.0, 10.0
_LONGEST_ANSWER = 4096


def is_there(session: Session) -> bool:
    """Tell whether a resolver of the session answers, and could ask in its turn."""
    answer = _ask(session, PROBE_NAME)
    return answer is not None and not answer.failed


def seen_as(session: Session, config: GatewayConfig) -> ipaddress.IPv4Address | None:
    """Return the address under which the Internet sees the session; None where nobody tells."""
    try:
        return exit_address.get(
            config.status_url,
            lambda name: _resolve(session, name),
            link=session.link,
            ca_bundle=config.public_ca_bundle,
            timeout=_STATUS_SECONDS,
        )
    except errors.PiaError:
        return None


def reaches(session: Session, port: int, config: GatewayConfig) -> bool:
    """Tell whether somebody on the Internet reaches the session's forwarded port.

    Raises:
        PiaError: nobody could be asked, or the answer does not tell.
    """
    url = (config.port_check_url or "").replace("{port}", str(port))
    return port_check.get(
        url,
        lambda name: _resolve(session, name),
        link=session.link,
        ca_bundle=config.public_ca_bundle,
        timeout=_CHECK_SECONDS,
    )


def _resolve(session: Session, name: str) -> ipaddress.IPv4Address | None:
    answer = _ask(session, name)
    return answer.addresses[0] if answer is not None and answer.addresses else None


def _ask(session: Session, name: str) -> question.Answer | None:
    """Ask the session's resolvers in turn; None where no answer comes."""
    for resolver in itertools.islice(itertools.cycle(session.dns_servers), _TRIES):
        identifier = int.from_bytes(os.urandom(2))
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, session.link.encode())
                asking.settimeout(_SECONDS)
                asking.connect((str(resolver), _PORT))
                asking.send(question.encode(name, identifier))
                return question.decode(asking.recv(_LONGEST_ANSWER), identifier)
        except (OSError, UnicodeError, question.GarbledError):
            continue
    return None
