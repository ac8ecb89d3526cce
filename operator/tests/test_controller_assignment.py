"""No two tunnels of one account ever share a server, and each gets enough where there is enough."""

from __future__ import annotations

import dataclasses
import itertools
import random
from ipaddress import IPv4Address

from piavpn.controller.assignment import Address, Party, Share, partition, share

A1, A2, A3, A4 = (IPv4Address(f"198.18.1.{n}") for n in range(1, 5))
B1, B2 = IPv4Address("198.18.2.1"), IPv4Address("198.18.2.2")


def party(
    name: str,
    *wants: Address,
    listed: tuple[Address, ...] = (),
    session: Address | None = None,
    known: tuple[Address, ...] = (),
) -> Party:
    return Party(name, wants, frozenset(listed), session, frozenset(known))


def test_a_tunnel_that_is_alone_has_all_servers_in_its_order() -> None:
    assert share(party("home", A2, A1, A3), ()) == Share((A2, A1, A3))


def test_new_tunnels_take_turns_each_by_its_own_wishes() -> None:
    parties = [party("a", A1, A2, A3, A4), party("b", A1, A2, A3, A4)]
    assert partition(parties) == {A1: "a", A2: "b", A3: "a", A4: "b"}
    parties = [party("a", A1, A2, B1), party("b", B1, A1)]
    assert partition(parties) == {A1: "a", B1: "b", A2: "a"}


def test_who_was_told_of_a_server_keeps_it() -> None:
    old = party("old", A1, A2, A3, A4, listed=(A1, A2))
    assert partition([old, party("new", A1, A2, A3, A4)]) == {
        A1: "old",
        A2: "old",
        A3: "new",
        A4: "new",
    }


def test_a_late_comer_gets_a_server_that_no_tunnel_ends_at() -> None:
    old = party("old", A1, A2, listed=(A1, A2), session=A1)
    assert partition([old, party("new", A1, A2)]) == {A1: "old", A2: "new"}
    moved = dataclasses.replace(old, session=A2)
    assert partition([moved, party("new", A1, A2)]) == {A1: "new", A2: "old"}


def test_nobody_is_left_with_one_server_while_another_has_three() -> None:
    rich = party("rich", A1, A2, A3, A4, listed=(A1, A2, A3, A4), session=A1)
    owners = partition([rich, party("poor", A1, A2, A3, A4)])
    assert list(owners.values()).count("poor") == 2
    assert owners[A1] == "rich"


def test_the_least_wished_for_is_what_one_parts_with() -> None:
    rich = party("rich", A3, A1, A2, B1, listed=(A3, A1, A2, B1), session=A3)
    assert partition([rich, party("poor", A1, A2)]) == {
        A3: "rich",
        A1: "poor",
        A2: "poor",
        B1: "rich",
    }


def test_a_server_that_another_tunnel_ends_at_is_never_taken() -> None:
    others = [party("a", A1, session=A1, listed=(A1,)), party("b", A2, session=A2, listed=(A2,))]
    assert share(party("c", A1, A2), others) == Share(())


def test_also_when_pia_lists_it_no_more() -> None:
    old = party("old", A2, listed=(A2,), session=A1)
    assert partition([old, party("new", A1, A2)])[A1] == "old"


def test_what_is_to_be_one_s_own_is_not_used_before_the_other_has_let_go_of_it() -> None:
    new = party("new", A1, A2)
    old = party("old", A1, A2, listed=(A1, A2), session=A1)
    assert share(new, [old]) == Share((), frozenset({"old"}))
    told = dataclasses.replace(old, listed=frozenset({A1}), known=frozenset({A1, A2}))
    assert share(new, [told]) == Share((), frozenset({"old"}))
    knows = dataclasses.replace(told, known=frozenset({A1}))
    assert share(new, [knows]) == Share((A2,))


def test_lists_that_overlap_as_they_did_before_are_parted_without_a_gap() -> None:
    a = party("a", A1, A2, listed=(A1, A2), session=A1)
    b = party("b", A1, A2, listed=(A1, A2), session=A2)
    assert share(a, [b]) == Share((A1,))
    assert share(b, [a]) == Share((A2,))


def test_a_gateway_without_wishes_keeps_others_from_what_it_has() -> None:
    orphan = Party("deleted", (), frozenset({A1}))
    assert share(party("home", A1, A2), [orphan]) == Share((A2,), frozenset({"deleted"}))


ADDRESSES = [IPv4Address(f"198.18.3.{n}") for n in range(1, 7)]


def after_a_pass(mine: Party, parties: dict[str, Party]) -> Party:
    """Return what the operator's pass makes of it: another list."""
    others = [other for other in parties.values() if other.name != mine.name]
    return dataclasses.replace(mine, listed=frozenset(share(mine, others).addresses))


def after_something(mine: Party, parties: dict[str, Party], dice: random.Random) -> Party:
    """Return what the next thing that happens makes of it."""
    match dice.randint(0, 4):
        case 0:  # the kubelet brings the list, and the gateway says that it knows
            return dataclasses.replace(mine, known=mine.listed)
        case 1 if mine.known:  # the gateway goes to any server that it knows
            return dataclasses.replace(mine, session=dice.choice(sorted(mine.known)))
        case 2:  # PIA lists other servers
            return dataclasses.replace(mine, wants=tuple(dice.sample(ADDRESSES, 4)))
        case _:
            return after_a_pass(mine, parties)


def test_however_passes_and_gateways_interleave_no_server_is_ever_at_two_gateways() -> None:
    dice = random.Random(20261123)
    for _ in range(150):
        names = ["a", "b", "c"][: dice.randint(2, 3)]
        parties = {name: party(name, *dice.sample(ADDRESSES, 4)) for name in names}
        for _ in range(60):
            name = dice.choice(names)
            parties[name] = after_something(parties[name], parties, dice)
            for one, other in itertools.combinations(parties.values(), 2):
                assert not one.claims & other.claims, (one, other)


def test_all_is_settled_after_a_few_rounds_and_everyone_has_its_part() -> None:
    dice = random.Random(1)
    for _ in range(100):
        parties = {name: party(name, *dice.sample(ADDRESSES, 6)) for name in ("a", "b", "c")}
        for _ in range(6):
            for name, known in parties.items():
                mine = after_a_pass(known, parties)
                at = mine.session or next(iter(sorted(mine.listed)), None)
                parties[name] = dataclasses.replace(mine, known=mine.listed, session=at)
        assert {name: after_a_pass(mine, parties) for name, mine in parties.items()} == parties
        assert all(len(each.listed) == 2 for each in parties.values())
