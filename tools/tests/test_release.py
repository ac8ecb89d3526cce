"""The release workflow is well formed, and runs no program that could change unseen."""

from __future__ import annotations

import re
from pathlib import Path

import packaging_tools as tools
import yaml
from packaging_tools import ROOT

WORKFLOW = ROOT / ".github/workflows/release.yml"


def test_actionlint_finds_nothing_wrong_with_the_release_workflow() -> None:
    tools.run("actionlint", "-shellcheck", "shellcheck", str(WORKFLOW))


def test_actionlint_would_find_something_wrong(tmp_path: Path) -> None:
    broken = tmp_path / "release.yml"
    broken.write_text(WORKFLOW.read_text().replace("steps.image.outputs", "steps.picture.outputs"))
    assert 'property "picture" is not defined' in tools.refusal("actionlint", str(broken))


def test_every_action_is_pinned_to_a_commit_and_says_its_version() -> None:
    uses = re.findall(r"uses: (.+)", WORKFLOW.read_text())
    assert uses
    pinned = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [each for each in uses if not pinned.fullmatch(each)] == []


def test_a_job_may_do_what_it_does_and_nothing_more() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert workflow["permissions"] == {}
    assert {name: job["permissions"] for name, job in workflow["jobs"].items()} == {
        "check": {"contents": "read"},
        "image": {"contents": "read", "packages": "write"},
        "publish": {
            "contents": "write",
            "packages": "write",
            "id-token": "write",
            "attestations": "write",
        },
    }


def test_images_are_built_for_both_architectures_each_on_its_own() -> None:
    build = yaml.safe_load(WORKFLOW.read_text())["jobs"]["image"]["strategy"]["matrix"]["include"]
    assert build == [
        {"runner": "ubuntu-24.04", "architecture": "amd64"},
        {"runner": "ubuntu-24.04-arm", "architecture": "arm64"},
    ]
