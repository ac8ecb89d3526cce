from __future__ import annotations

from piavpn.node import layers


def test_all_layers_are_at_work_where_nothing_goes_past_them() -> None:
    assert layers.in_words(layers.Seen(cilium=False, bridged_by_iptables=False)) == (
        "locks, gates, watch and bridge filters are at work; the node's filter of apps' cluster"
        " links is at work; iptables does not see traffic within bridges"
    )


def test_a_layer_that_may_be_idle_is_named_with_its_cause() -> None:
    assert layers.in_words(layers.Seen(cilium=True, bridged_by_iptables=True)) == (
        "locks, gates, watch and bridge filters are at work; the node's filter of apps' cluster"
        " links may be idle (Cilium; idle with BPF host routing); iptables sees traffic within"
        " bridges (br_netfilter): accepted where it would be dropped"
    )
