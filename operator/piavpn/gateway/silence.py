"""A session whose server falls silent, and answers again. Pure.

Nobody can tell a dead server from a node that is cut off for a while, where the session, and the
connections that it carries, are as good as before.
"""

from __future__ import annotations

import dataclasses
import random

from piavpn.gateway import setbacks
from piavpn.gateway.inquiry import Inquiry
from piavpn.gateway.memory import Failure, Memory
from piavpn.gateway.roles import Lost
from piavpn.gateway.session import Session
from piavpn.gateway.vitals import Vitals

OWN_SERVER_SECONDS = 10.0
"""For so long no session is made at the lost one's own server: that would end it for good."""


def begun(memory: Memory, failure: Failure, now: float, dice: random.Random) -> Memory:
    """Return the memory after the current session's server fell silent."""
    if memory.current is None:
        return memory
    address = memory.current.session.address
    after = memory.ended(failure, now, dice)
    return dataclasses.replace(
        after,
        lost=Lost(memory.current, memory.returning),
        setbacks=setbacks.waiting(after.setbacks, address, now + OWN_SERVER_SECONDS),
    )


def ended(memory: Memory, *, received: int) -> Memory:
    """Return the memory after the lost session has answered: as if nothing had been.

    Args:
        memory: with a lost session.
        received: what its link's counter says.
    """
    lost = memory.lost
    if lost is None:
        return memory
    # Whether its server forwards anything is asked at once.
    current = dataclasses.replace(lost.current, vitals=Vitals(received), outside=Inquiry())
    return dataclasses.replace(
        memory,
        current=current,
        lost=None,
        setbacks=memory.calm,
        failure=None,
        returning=lost.returning,
    )


def needs(memory: Memory, made: Session) -> bool:
    """Tell whether the session that the candidate became is of use.

    It is not where the lost one has answered meanwhile, unless at that one's own server, which
    knows the newer key alone.
    """
    session = memory.session
    return not memory.superfluous or session is None or session.address == made.address


def without_candidate(memory: Memory) -> Memory:
    """Return the memory without a candidate that is not needed any more."""
    return dataclasses.replace(memory, candidate=None)
