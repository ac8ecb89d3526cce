"""Fixtures of the component tests: network namespaces that go away with the test."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import fakepia_world
import namespaces
import nodeworld
import pytest
import wireguards

from piavpn.node import links


@pytest.fixture(scope="session", autouse=True)
def _as_root() -> None:
    if os.geteuid():
        pytest.exit("the component tests make network namespaces: run them as root", 1)


@pytest.fixture
def new_namespace() -> Iterator[Callable[[str], namespaces.Namespace]]:
    """Make as many namespaces as a test wants; the argument is the role, for its name."""
    with contextlib.ExitStack() as stack:
        yield lambda role: stack.enter_context(namespaces.namespace(role))


@pytest.fixture(scope="module")
def pia() -> Iterator[fakepia_world.FakePia]:
    """The stand-in of PIA; what two tests of a module share is put right by them."""
    with fakepia_world.running() as pia:
        yield pia


@pytest.fixture
def node(new_namespace: Callable[[str], namespaces.Namespace]) -> namespaces.Namespace:
    """A namespace that plays the node."""
    return new_namespace("node")


@pytest.fixture
def pod(new_namespace: Callable[[str], namespaces.Namespace]) -> namespaces.Namespace:
    """A namespace that plays a pod."""
    return new_namespace("pod")


@pytest.fixture
def world(new_namespace: Callable[[str], namespaces.Namespace]) -> Iterator[nodeworld.World]:
    """A node with an outside world, to which pods can be added."""
    with nodeworld.world(new_namespace) as made:
        yield made


@pytest.fixture
def wireguard() -> Iterator[links.Links]:
    """What makes a node's WireGuard links."""
    with wireguards.of_a_node() as made:
        yield made


@pytest.fixture
def add_link(
    wireguard: links.Links, node: namespaces.Namespace, pod: namespaces.Namespace
) -> wireguards.Add:
    """Make a link of that name, from the node's namespace, in the pod's."""

    def add(name: str) -> None:
        with node.entered():
            wireguard.add(name, vpn=wireguards.VPN, netns=pod.fd, mtu=1380)

    return add
