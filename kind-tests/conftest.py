"""Fixtures of the kind tests: the cluster, the stand-in PIA, a tunnel with an app behind it.

`kind-tests/run` makes all that they need. On a cluster that somebody else made, tests that need to
own the nodes, or the stand-in PIA beside them, are skipped and say so.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from fakepia import client
from harness import capture, judge, manifests, nodes, probes

_FOLDER = pathlib.Path(__file__).parent
_ARTIFACTS = pathlib.Path(os.environ.get("ARTIFACTS", _FOLDER.parent / "artifacts"))


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker, and refuse to run without what `run` prepares."""
    config.addinivalue_line("markers", "owns_nodes: reaches into the nodes of the cluster")
    config.addinivalue_line("markers", "disruptive: ends pods of other tests; made last")
    if "PIAVPN_IMAGE" not in os.environ:
        raise pytest.UsageError("run these tests by kind-tests/run (or make kind)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip on a cluster that is not ours what would need its nodes; put last what ends pods."""
    items.sort(key=lambda item: item.get_closest_marker("disruptive") is not None)
    if "PIAVPN_KUBECONFIG" not in os.environ:
        return
    reason = "PIAVPN_KUBECONFIG is set: this test needs nodes and networks of its own"
    for item in items:
        if item.get_closest_marker("owns_nodes"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep the cluster's logs of a test that failed."""
    report = yield
    if report.failed:  # type: ignore[attr-defined]
        folder = _ARTIFACTS / item.name
        subprocess.run([_FOLDER / "cluster/logs", folder], check=False, capture_output=True)
    return report


@pytest.fixture(scope="session")
def pia() -> client.Client:
    """Return the control API of the stand-in PIA."""
    manifests.require_stand_in()
    return client.Client.at(nodes.address_of(f"{os.environ['PIAVPN_CLUSTER']}-fakepia"))


@pytest.fixture(autouse=True)
def _healthy_pia(request: pytest.FixtureRequest) -> Iterator[None]:
    """Take back what a test told the stand-in to do."""
    yield
    if "pia" in request.fixturenames:
        request.getfixturevalue("pia").reset()


@pytest.fixture(scope="session")
def uplinks() -> Iterator[capture.Uplinks]:
    """Capture what leaves by the nodes' uplinks until the end."""
    with capture.uplinks() as captured:
        yield captured


@pytest.fixture
def leaks(uplinks: capture.Uplinks, pia: client.Client) -> judge.Judge:
    """Return the judge of what left by another way than a tunnel."""
    return judge.Judge(uplinks, pia)


@pytest.fixture(scope="session")
def steady() -> Iterator[probes.Tunnel]:
    """Give a working tunnel with an app behind it, and an ordinary pod on the app's node."""
    with probes.tunnel("steady", location="swiss") as tunnel:
        yield tunnel
