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


def test_the_first_damaged_pod_goes_at_once_and_the_next_ones_ever_later() -> None:
    assert removals(Brake(), 1300) == [0, 10, 30, 70, 150, 310, 610, 910, 1210]


def test_a_pod_whose_removal_was_asked_for_is_asked_for_until_it_is_gone() -> None:
    brake = Brake()
    assert [brake.lets(pod("first"), now) for now in (0.0, 0.5, 1.5)] == [True, True, True]
    assert not brake.lets(pod("second"), 2.0)


def test_each_owner_has_its_own() -> None:
    brake = Brake()
    assert brake.lets(pod("a"), 0.0)
    assert brake.lets(pod("b", OTHER), 0.0)


def test_after_half_an_hour_of_health_all_is_forgotten() -> None:
    brake = Brake()
    *_, last = removals(brake, 1300)
    assert not brake.lets(pod("soon"), 1300)
    assert last == 1210
    assert removals(brake, 100, begin=1300 + 1800) == [3100, 3110, 3130, 3170]


def test_an_owner_whose_pods_stay_damaged_is_not_forgotten() -> None:
    assert removals(Brake(), 4000)[-2:] == [3610, 3910]
