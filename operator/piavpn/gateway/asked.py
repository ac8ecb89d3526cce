"""What becomes known of the current session by asking what its pings do not tell. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress

from piavpn.gateway.inquiry import EXIT_ADDRESS, EXIT_ADDRESS_MISSES, OUTSIDE
from piavpn.gateway.memory import Memory
from piavpn.gateway.session import Session


def outside(memory: Memory, session: Session, *, answered: bool, now: float) -> Memory:
    """Return the memory after a question by this session to what lies beyond its server."""
    current = memory.current
    if current is None or current.session != session:
        return memory
    inquiry = current.outside.after(answered=answered, rhythm=OUTSIDE, now=now)
    return dataclasses.replace(
        memory,
        current=dataclasses.replace(current, outside=inquiry),
        cut_off=0 if answered else memory.cut_off,
    )


def exit_address(
    memory: Memory, session: Session, address: ipaddress.IPv4Address | None, now: float
) -> Memory:
    """Return the memory after asking under which address the Internet sees this session.

    Args:
        memory: what was known before.
        session: the one that asked.
        address: the answer; None: there was none.
        now: the present.
    """
    current = memory.current
    if current is None or current.session != session:
        return memory
    told = address is not None
    inquiry = current.exit.after(answered=told, rhythm=EXIT_ADDRESS, now=now)
    told_ever = told or current.exit_told
    if not told_ever and inquiry.misses >= EXIT_ADDRESS_MISSES:
        address = session.address
    return dataclasses.replace(
        memory,
        current=dataclasses.replace(current, exit=inquiry, exit_told=told_ever),
        exit_address=address or memory.exit_address,
    )


def port(memory: Memory, session: Session, *, forwards: bool, now: float) -> Memory:
    """Return the memory after this session's server was asked to forward the port."""
    if memory.session != session:
        return memory
    portless = memory.portless.after(session.address, forwards=forwards, now=now)
    return dataclasses.replace(memory, portless=portless)
