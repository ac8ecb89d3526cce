from __future__ import annotations

import pytest
from namespaces import Namespace

from piavpn.net import nft

RULES = """
table inet trial
delete table inet trial
table inet trial {
  counter seen { }
  chain out { type filter hook output priority filter; policy accept;
    ip daddr 127.0.0.9 counter name seen drop
  }
}
"""


def test_a_rule_set_is_loaded_again_and_again_and_counts(pod: Namespace) -> None:
    with pod.entered():
        nft.load(RULES)
        nft.load(RULES)
        pod.run("ping -c 1 -W 1 127.0.0.9", check=False)
        assert nft.counters("inet trial") == {"seen": nft.Counter(packets=1, bytes=84)}
        assert "127.0.0.9 counter name" in nft.list_table("inet trial")


def test_a_wrong_rule_changes_nothing_and_tells_why(pod: Namespace) -> None:
    with pod.entered():
        nft.load(RULES)
        with pytest.raises(nft.NftError, match="syntax error"):
            nft.load("delete table inet trial\ntable inet trial { nonsense }\n")
        assert nft.has_table("inet trial")


def test_a_table_is_removed_whether_it_is_there_or_not(pod: Namespace) -> None:
    with pod.entered():
        nft.load(RULES)
        nft.delete_table("inet trial")
        nft.delete_table("inet trial")
        assert not nft.has_table("inet trial")
        with pytest.raises(nft.NftError, match="No such file or directory"):
            nft.counters("inet trial")
