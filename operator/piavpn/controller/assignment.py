"""Which server addresses are whose, among the tunnels of one account. Pure.

A second key of an account at one server address kills the first (pia-foss' servers keep one key for
each account), so no two tunnels may ever try the same one, also while nobody coordinates them.
Every pass computes the whole partition from what all can see, and takes its own part of it.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping, Sequence

Address = ipaddress.IPv4Address

ENOUGH = 2
"""Servers that a tunnel should have: one to be at, and another to renew or fail over to."""


@dataclasses.dataclass(frozen=True, slots=True)
class Party:
    """A tunnel that wants servers."""

    name: str
    wants: tuple[Address, ...]
    """The servers of its locations, the best first."""
    listed: frozenset[Address] = frozenset()
    """What it was told that it may use."""
    session: Address | None = None
    """Where its tunnel ends now."""
    known: frozenset[Address] = frozenset()
    """What its gateway says that it goes by: it may lag behind what it was told."""

    @property
    def claims(self) -> frozenset[Address]:
        """Where it has, or may make at any moment, a session."""
        own = frozenset() if self.session is None else frozenset((self.session,))
        return self.listed | self.known | own


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """One tunnel's part."""

    addresses: tuple[Address, ...]
    """What it may use, in the order of its wishes."""
    held_by: frozenset[str] = frozenset()
    """Who still has to let go of what will be its own."""


def share(mine: Party, others: Sequence[Party]) -> Share:
    """Return what `mine` may use now.

    A server goes from one to another only after the one was told so, says that it knows, and is
    elsewhere.
    """
    owners = partition([mine, *others])
    addresses, held_by = [], set()
    for address in mine.wants:
        if owners.get(address) != mine.name:
            continue
        holders = {other.name for other in others if address in other.claims}
        if holders and address not in mine.listed:
            held_by |= holders
        else:
            addresses.append(address)
    return Share(tuple(addresses), frozenset(held_by))


def partition(parties: Sequence[Party]) -> dict[Address, str]:
    """Return whose each server is to be: the same for whoever asks.

    Who is at a server or was told of it keeps it; what is free goes to those who have least; and
    who has too little gets from those who have most, but never a server that a tunnel ends at.
    """
    ordered = sorted(parties, key=lambda party: party.name)
    owners: dict[Address, str] = {}
    for party in ordered:
        if party.session is not None:
            owners.setdefault(party.session, party.name)
    for party in ordered:
        for address in party.wants:
            if address in party.claims:
                owners.setdefault(address, party.name)
    _deal_out(ordered, owners)
    for least in range(1, ENOUGH + 1):
        _level(ordered, owners, least)
    return owners


def _deal_out(parties: Sequence[Party], owners: dict[Address, str]) -> None:
    while hungry := [party for party in parties if _free(party, owners)]:
        poorest = min(hungry, key=lambda party: len(_of(party, owners)))
        owners[_free(poorest, owners)[0]] = poorest.name


def _level(parties: Sequence[Party], owners: dict[Address, str], least: int) -> None:
    """Let those with fewer than `least` have of those with more, while there is something."""
    fixed = {party.session for party in parties}
    for party in parties:
        while len(_of(party, owners)) < least:
            givers = [
                (len(_of(other, owners)), address)
                for other in parties
                for address in reversed(_of(other, owners))
                if other is not party
                and len(_of(other, owners)) > least
                and address in party.wants
                and address not in fixed
            ]
            if not givers:
                break
            _, address = max(givers, key=lambda giver: giver[0])
            owners[address] = party.name


def _free(party: Party, owners: Mapping[Address, str]) -> tuple[Address, ...]:
    return tuple(address for address in party.wants if address not in owners)


def _of(party: Party, owners: Mapping[Address, str]) -> tuple[Address, ...]:
    """Return what the party has of its wishes, the best first."""
    return tuple(address for address in party.wants if owners.get(address) == party.name)
