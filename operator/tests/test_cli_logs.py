"""`kubectl piavpn logs`: one story from many logs."""

from __future__ import annotations

import io
import json
import threading

import cli_world
import kube_server
import pytest
from cli_world import SYSTEM, Kubectl
from controller_world import eventually

from piavpn import kube
from piavpn.cli import main
from piavpn.cli.output import Output

api, kubectl = cli_world.api, cli_world.kubectl


def put_log(
    api: kube_server.Api, pod: str, container: str, *lines: str, namespace: str = SYSTEM
) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}"
    api.texts[path] = "".join(f"2026-11-23T{line}\n" for line in lines)


def put_part(api: kube_server.Api, pod: str, node: str, labels: dict[str, str]) -> None:
    cli_world.put_pod(
        api,
        pod,
        SYSTEM,
        labels=labels,
        initContainerStatuses=[],
        containerStatuses=[{"name": "main", "containerID": "containerd://3"}],
    )
    api.put(kube.PODS, pod, SYSTEM, spec={"nodeName": node})


@pytest.fixture(autouse=True)
def _cluster(api: kube_server.Api) -> None:
    cli_world.put_vpn(api)
    cli_world.put_app(api)
    cli_world.put_pod(api)
    put_part(api, "piavpn-operator-abc", "control", {"app.kubernetes.io/name": "piavpn-operator"})
    for node in ("worker", "elsewhere"):
        agent = {"app.kubernetes.io/name": "piavpn-node-agent"}
        put_part(api, f"agent-on-{node}", node, agent)
        put_log(api, f"agent-on-{node}", "main")
    put_part(api, "piavpn-gateway-home-0", "worker", {"piavpn.dev/gateway": "home"})
    put_log(
        api, "piavpn-operator-abc", "main",
        "10:00:00.1Z 2026-11-23 10:00:00,100 INFO PiaVpn home: logged in to PIA",
        "10:00:00.2Z 2026-11-23 10:00:00,200 INFO PiaVpn home-office: logged in to PIA",
        '10:00:02.5Z {"level": "info", "msg": "Ready", "object": '
        '{"kind": "VpnServiceContainer", "namespace": "media", "name": "web"}}',
    )  # fmt: skip
    put_log(
        api, "agent-on-worker", "main",
        "10:00:01.000000002Z 2026-11-23 10:00:01,000 INFO Pod media/web-0: attached and locked",
        "10:00:01.5Z 2026-11-23 10:00:01,500 INFO Pod media/web-01: attached and locked",
    )  # fmt: skip
    put_log(api, "agent-on-elsewhere", "main", "10:00:01Z INFO Pod media/web-0: is not here")
    put_log(
        api, "piavpn-gateway-home-0", "main",
        "10:00:01.000000001Z 2026-11-23 10:00:01,000 INFO registering at zurich401 (swiss)",
    )  # fmt: skip
    put_log(api, "web-0", "piavpn-gate", "10:00:02Z passed", namespace="media")
    put_log(api, "web-0", "app", "10:00:03Z the app's own words", namespace="media")


TOLD = """\
10:00:00.100  operator         INFO PiaVpn home: logged in to PIA
10:00:01.000  gateway          INFO registering at zurich401 (swiss)
10:00:01.000  agent on worker  INFO Pod media/web-0: attached and locked
10:00:02.000  media/web gate   passed
10:00:02.500  operator         {"level": "info", "msg": "Ready", "object": \
{"kind": "VpnServiceContainer", "namespace": "media", "name": "web"}}
"""


def test_what_all_parts_say_of_a_tunnel_is_told_in_order(kubectl: Kubectl) -> None:
    said = kubectl.piavpn("logs", "home")
    assert (said.code, said.out, said.err) == (0, TOLD, "")


def test_the_gates_of_pods_by_label_are_among_them(api: kube_server.Api, kubectl: Kubectl) -> None:
    cli_world.put_labelled_pod(api)
    put_log(api, "crawler-x", "piavpn-gate", "10:00:09Z passed", namespace="office")
    put_log(
        api, "agent-on-worker", "main",
        "10:00:08Z INFO Pod office/crawler-x: attached and locked",
        "10:00:08.5Z INFO Pod office/crawler-xy: attached and locked",
    )  # fmt: skip
    said = kubectl.piavpn("logs", "home")
    assert [line.split(maxsplit=1)[1] for line in said.out.splitlines()[-2:]] == [
        "agent on worker        INFO Pod office/crawler-x: attached and locked",
        "office/crawler-x gate  passed",
    ]


def test_programs_get_an_object_a_line(kubectl: Kubectl) -> None:
    said = kubectl.piavpn("logs", "home", "-o", "json")
    assert json.loads(said.out.splitlines()[0]) == {
        "time": "2026-11-23T10:00:00.100000000Z",
        "part": "operator",
        "line": "INFO PiaVpn home: logged in to PIA",
    }


def test_a_log_that_cannot_be_read_is_told_and_the_others_are_shown(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    del api.texts["/api/v1/namespaces/media/pods/web-0/log?container=piavpn-gate"]
    api.allowed = lambda call: call.resource != "pods/log"
    said = kubectl.piavpn("logs", "home")
    assert said.code == 0
    assert said.err.startswith("media/web gate: you may not do that (GET ")
    assert len(said.out.splitlines()) == 4


def test_since_takes_a_duration(kubectl: Kubectl, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        kubectl.piavpn("logs", "home", "--since", "yesterday")
    assert ended.value.code == 2
    assert "'yesterday' is no duration, such as 720h or 1h30m" in capsys.readouterr().err
    assert kubectl.piavpn("logs", "home", "--since", "10m").code == 0


def test_who_follows_sees_each_line_once_and_those_of_pods_that_come_later(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    out, ended = io.StringIO(), list[int]()
    arguments = ["logs", "home", "-f", "--kubeconfig", str(kubectl.kubeconfig)]
    thread = threading.Thread(
        target=lambda: ended.append(main.run(arguments, Output(out, io.StringIO())))
    )
    thread.start()
    eventually(lambda: "web gate   passed" in out.getvalue(), out.getvalue)
    labels = {"piavpn.dev/vpn": "home", "piavpn.dev/service": "late"}
    put_log(api, "late-0", "piavpn-gate", "10:00:09Z late, but there", namespace="media")
    cli_world.put_pod(api, "late-0", labels=labels)
    eventually(lambda: "late, but there" in out.getvalue(), out.getvalue)
    api.fault = lambda _: kube_server.RefusalError(500, "the end")
    thread.join()
    assert ended == [2]
    assert out.getvalue().count("registering at zurich401") == 1
