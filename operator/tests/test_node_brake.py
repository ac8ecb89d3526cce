from __future__ import annotations

from piavpn.node.brake import Brake
from piavpn.node.model import Owner, Pod, Role

APP, OTHER = Owner("app", "media"), Owner("other", "media")


def pod(uid: str, owner: Owner = APP) -> Pod:
    return Pod(uid, "app-0", "media", Role.SERVICE, "home", owner, None)


def removals(brake: Brake, seconds: int, begin: int = 0) -> list[int]:
    """Return when pods go of which each next one is damaged as soon as it is there."""
    found: list[int] = []
    for now in range(begin, begin + seconds):
        if brake.lets(pod(f"pod after {found[-1:]}"), now):
            found.append(now)
    return found


def test_a_few_damaged_pods_go_at_once_and_the_next_ones_ever_later() -> None:
    assert removals(Brake(), 1300) == [*range(8), 17, 37, 77, 157, 317, 617, 917, 1217]


def test_a_pod_whose_removal_was_asked_for_is_asked_for_until_it_is_gone() -> None:
    brake = Brake()
    *_, last = removals(brake, 8)
    assert [brake.lets(pod("pod after [6]"), last + 0.5 * n) for n in range(3)] == [True] * 3
    assert not brake.lets(pod("another"), last + 2)


def test_each_owner_has_its_own() -> None:
    brake = Brake()
    assert brake.lets(pod("a"), 0.0)
    assert brake.lets(pod("b", OTHER), 0.0)


def test_after_half_an_hour_of_health_all_is_forgotten() -> None:
    brake = Brake()
    *_, last = removals(brake, 1300)
    assert not brake.lets(pod("soon"), 1300)
    assert last == 1217
    assert removals(brake, 50, begin=1300 + 1800) == [*range(3100, 3108), 3117, 3137]


def test_an_owner_whose_pods_stay_damaged_is_not_forgotten() -> None:
    assert removals(Brake(), 4000)[-2:] == [3617, 3917]


def test_pods_of_one_controller_are_braked_together_whatever_their_names() -> None:
    brake = Brake()

    def made(name: str) -> Pod:
        owner = Owner(name, "media", is_pod=True)
        return Pod(name, name, "media", Role.SERVICE, "home", owner, None, made_by="uid-of-set")

    assert [brake.lets(made(f"crawler-{n}"), 0.0) for n in range(9)] == [True] * 8 + [False]
