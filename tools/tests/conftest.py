"""Fixtures of the tests of what users install."""

from __future__ import annotations

from pathlib import Path

import packaging_tools
import pytest


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart, rendered from the manifests as they are."""
    folder = tmp_path_factory.mktemp("chart") / "pia-vpn-operator"
    packaging_tools.run(str(packaging_tools.ROOT / "tools/helm-chart"), str(folder))
    return folder
