"""An upgrade of the operator and of the node agents leaks nothing and interrupts nothing."""

from __future__ import annotations

import pytest

from harness import judge, kubectl, leaky, probes, product

pytestmark = pytest.mark.owns_nodes


def test_nothing_leaks_or_breaks_when_operator_and_agents_are_rolled(
    leaks: judge.Judge,
) -> None:
    with probes.tunnel("upgraded", location="swiss", command=leaky.command()) as tunnel:
        app = leaky.Leaky.in_pod(tunnel.app)
        app.wait_for_answers()
        pods, before = (tunnel.app.uid, tunnel.gateway.uid), app.told()

        with leaks.nothing_leaves(tunnel.ordinary):
            product.restart(product.OPERATOR, product.AGENT)
            app.wait_for_rounds()
            app.wait_for_answers()

        kubectl.wait_for("vpnapp", "probe", "Ready", tunnel.app.namespace)
        assert (tunnel.app.uid, tunnel.gateway.uid) == pods
        assert (app.told().broken, app.told().sent) == (before.broken, 0)
        assert set(app.told().answers) == {tunnel.server_address}
