"""`kubectl piavpn`: how it reaches a cluster, and what it says where it cannot do as asked."""

from __future__ import annotations

import tomllib
from pathlib import Path

import cli_world
import crd_schema
import kube_server
import pytest
from cli_world import Kubectl, Said
from test_layers import packages, reached

from piavpn.cli.output import table

api, kubectl = cli_world.api, cli_world.kubectl


def test_it_needs_nothing_that_only_the_cluster_has() -> None:
    assert packages(reached("piavpn.cli.main")) & {"kopf", "pyroute2", "prometheus_client"} == set()


def test_kubectl_finds_it_by_its_name() -> None:
    project = tomllib.loads((crd_schema.ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"]["kubectl-piavpn"] == "piavpn.cli.main:main"


def test_an_unknown_vpn_is_answered_with_similar_names(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    cli_world.put_vpn(api, "home")
    assert kubectl.piavpn("regions", "hom") == Said(
        2, "", "error: there is no PiaVpn 'hom': did you mean home?\n"
    )


def test_where_there_are_several_vpns_one_must_be_named(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    cli_world.put_vpn(api, "home")
    cli_world.put_vpn(api, "away")
    assert kubectl.piavpn("regions") == Said(2, "", "error: name a PiaVpn: away, home\n")


def test_a_cluster_without_the_operator_is_told_so(api: kube_server.Api, kubectl: Kubectl) -> None:
    api.fault = lambda _: kube_server.RefusalError(404, "404 page not found")
    assert kubectl.piavpn("regions") == Said(
        2,
        "",
        "error: the cluster knows no piavpn.dev (GET /apis/piavpn.dev/v1alpha1/piavpns: "
        "404 page not found): install it, as README.md says\n",
    )


def test_a_missing_right_is_told(api: kube_server.Api, kubectl: Kubectl) -> None:
    api.allowed = lambda _: False
    assert kubectl.piavpn("regions") == Said(
        2,
        "",
        "error: you may not do that (GET /apis/piavpn.dev/v1alpha1/piavpns: list piavpns is "
        "forbidden): ask the cluster's admin for this right\n",
    )


def test_a_cluster_that_does_not_answer_is_told_in_one_line(tmp_path: Path) -> None:
    with kube_server.serving() as gone:
        url = gone.url
    said = Kubectl(cli_world.kubeconfig(tmp_path, url)).piavpn("regions")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: the cluster does not answer (GET /apis/piavpn.dev/")
    assert said.err.endswith("): see whether `kubectl get nodes` works\n")
    assert said.err.count("\n") == 1


def test_a_kubeconfig_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    said = Kubectl(tmp_path / "none").piavpn("regions")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: no way to the Kubernetes API: ")
    assert said.err.count("\n") == 1


def test_an_unknown_context_is_told_in_one_line(kubectl: Kubectl) -> None:
    said = kubectl.piavpn("regions", "--context", "work")
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        "error: no way to the Kubernetes API: Invalid kube-config file. "
        f"Expected object with name work in {kubectl.kubeconfig}/contexts list\n"
    )


def test_options_of_all_commands_may_stand_on_either_side_of_the_command(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    cli_world.put_vpn(api)
    after = kubectl.piavpn("status", "--context", "here", "-o", "json")
    assert after.code == 0
    assert kubectl.piavpn("--context", "here", "-o", "json", "status") == after
    assert kubectl.piavpn("--context", "work", "status").code == 2


@pytest.mark.parametrize("arguments", [(), ("regiosn",), ("regions", "home", "away")])
def test_a_wrong_command_line_ends_with_2(arguments: tuple[str, ...], kubectl: Kubectl) -> None:
    with pytest.raises(SystemExit) as ended:
        kubectl.piavpn(*arguments)
    assert ended.value.code == 2


def test_a_table_is_as_wide_as_its_cells_and_shows_what_is_absent() -> None:
    assert table(("NAME", "PORT", "AGE"), [("home", None, "2s"), ("office-two", 4711, "")]) == [
        "NAME         PORT   AGE",
        "home         -      2s",
        "office-two   4711   -",
    ]
