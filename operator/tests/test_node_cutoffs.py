from __future__ import annotations

from piavpn.node import cutoffs
from piavpn.node.cutoffs import CutOffs
from piavpn.node.model import Owner

APP = Owner("app", "media")


def labelled_pod(number: int) -> Owner:
    return Owner(f"web-{number}", "media", is_pod=True)


def test_cut_offs_are_counted_by_owner_and_reason() -> None:
    counted = CutOffs()
    counted.count(APP, cutoffs.TAMPERED)
    counted.count(APP, cutoffs.TAMPERED)
    counted.count(APP, cutoffs.LEAKED)
    counted.count(labelled_pod(1), cutoffs.LEAKED)
    assert counted.of(APP) == {"leaked": 1, "tampered": 2}
    assert counted.of(labelled_pod(2)) == {"leaked": 0, "tampered": 0}


def test_of_labelled_pods_that_come_and_go_a_thousand_are_remembered() -> None:
    counted = CutOffs()
    for number in range(1001):
        counted.count(labelled_pod(number), cutoffs.TAMPERED)
    assert counted.of(labelled_pod(0)) == {"leaked": 0, "tampered": 0}
    assert counted.of(labelled_pod(1)) == {"leaked": 0, "tampered": 1}
    assert counted.of(labelled_pod(1000)) == {"leaked": 0, "tampered": 1}
