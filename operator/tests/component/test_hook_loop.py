"""The program of a hook's container, in the shells that images have, and what the agent reads."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator

import hook_process
import pytest
from hook_process import Hook
from namespaces import eventually

from piavpn.node import hooks
from piavpn.node.messages import Messages

PORT_HOOK = ("forwarded-port", "10.100.0.10", "sh", "/run/piavpn-hook/script")
EXIT_HOOK = ("exit-address", "10.100.0.10", "sh", "/run/piavpn-hook/script")
WRITE = 'echo "$PORT|$OLD_PORT|$TARGET_IP|$EXIT_ADDRESS" >>/run/out/runs\n'
FAIL_TWICE = WRITE + "[ $(wc -l </run/out/runs) -gt 2 ]"
FAIL_FIVE_TIMES = WRITE + "[ $(wc -l </run/out/runs) -gt 5 ]"


@pytest.fixture(params=[("dash",), ("busybox", "sh"), ("bash", "--posix")], ids=lambda it: it[0])
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    found: tuple[str, ...] = request.param
    return found


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    hook_process.prepare(tmp_path)
    return tmp_path


@contextlib.contextmanager
def port_hook(
    folder: pathlib.Path, script: str, shell: tuple[str, ...] = ("dash",)
) -> Iterator[Hook]:
    hook_process.tell(folder, "hook/script", script)
    with hook_process.running(folder, shell, *PORT_HOOK) as hook:
        yield hook


def has_run(hook: Hook, times: int) -> None:
    eventually(lambda: len(hook.runs()) == times, what=f"{times} runs")


def says(hook: Hook, message: str) -> None:
    eventually(lambda: hook.message() == message, what=message, seconds=20)


def test_a_script_hears_of_each_port_once_and_of_the_one_before(
    folder: pathlib.Path, shell: tuple[str, ...]
) -> None:
    with port_hook(folder, WRITE, shell) as hook:
        hook.tell("told/exit-address", "198.18.11.1")
        hook.tell("told/forwarded-port", "45678")
        says(hook, "told 45678 0 0\n")
        hook.tell("told/forwarded-port", "23456")
        says(hook, "told 23456 0 0\n")
    assert hook.runs() == [
        "45678||10.100.0.10|198.18.11.1",
        "23456|45678|10.100.0.10|198.18.11.1",
    ]


def test_it_is_run_again_until_it_succeeds_and_the_failures_are_told(
    folder: pathlib.Path, shell: tuple[str, ...]
) -> None:
    hook_process.tell(folder, "told/forwarded-port", "45678")
    with port_hook(folder, FAIL_TWICE, shell) as hook:
        says(hook, "failing 45678 1 1\n")
        says(hook, "told 45678 2 0\n")
    assert len(hook.runs()) == 3


def test_a_script_that_fails_five_times_and_then_succeeds_is_reported_so(
    folder: pathlib.Path,
) -> None:
    messages, reported = Messages(), []
    hook_process.tell(folder, "told/forwarded-port", "45678")

    def read(hook: Hook) -> str:
        report = hooks.report(messages.read(hook.container))
        told = (report.status, report.reason, report.message)
        if told not in reported:
            reported.append(told)
        return report.reason

    with port_hook(folder, FAIL_FIVE_TIMES) as hook:
        eventually(lambda: read(hook) == "Told", what="the hook's success", seconds=90)
    failing = [
        f"port 45678 could not be told in {failures} attempts, exit code 1; it is tried again: see "
        "the logs of container piavpn-port-hook"
        for failures in range(1, 6)
    ]
    assert reported[-6:] == [
        *(("False", "HookFailing", message) for message in failing),
        ("True", "Told", "port 45678 was told after 5 failed attempts"),
    ]


def test_it_ends_at_once_when_told_to_also_while_a_script_runs(
    folder: pathlib.Path, shell: tuple[str, ...]
) -> None:
    hook_process.tell(folder, "told/forwarded-port", "45678")
    with port_hook(folder, WRITE + "sleep 1000", shell) as hook:
        has_run(hook, 1)
        assert hook.terminate() == 0


def test_an_exit_code_of_78_stops_it_until_something_changes(folder: pathlib.Path) -> None:
    hook_process.tell(folder, "told/forwarded-port", "45678")
    with port_hook(folder, WRITE + "exit 78") as hook:
        says(hook, "stopped 45678 1 78\n")
        hook.tell("secret/password", "another")
        has_run(hook, 2)
        says(hook, "stopped 45678 1 78\n")
        hook.tell("hook/script", WRITE)
        says(hook, "told 45678 0 0\n")
    assert len(hook.runs()) == 3


def test_it_is_run_again_when_the_app_was_restarted(folder: pathlib.Path) -> None:
    hook_process.tell(folder, "told/forwarded-port", "45678")
    with port_hook(folder, WRITE) as hook:
        has_run(hook, 1)
        hook.tell("hook/app-started", "2026-11-23T11:00:00Z")
        has_run(hook, 2)


def test_it_is_run_again_when_its_own_container_was_restarted(folder: pathlib.Path) -> None:
    hook_process.tell(folder, "told/forwarded-port", "45678")
    with port_hook(folder, WRITE) as hook:
        says(hook, "told 45678 0 0\n")
    with port_hook(folder, WRITE) as hook:
        says(hook, "told 45678 0 0\n")
    assert hook.runs() == ["45678||10.100.0.10|", "45678|45678|10.100.0.10|"]


def test_without_news_nothing_is_run(folder: pathlib.Path) -> None:
    hook_process.tell(folder, "told/forwarded-port", "")
    with port_hook(folder, WRITE) as hook:
        hook.tell("hook/app-started", "2026-11-23T11:00:00Z")
        hook.tell("told/forwarded-port", "45678")
        says(hook, "told 45678 0 0\n")
    assert len(hook.runs()) == 1


def test_a_hook_of_the_exit_address_hears_of_that(folder: pathlib.Path) -> None:
    hook_process.tell(folder, "hook/script", WRITE)
    with hook_process.running(folder, ("dash",), *EXIT_HOOK) as hook:
        hook.tell("told/forwarded-port", "45678")
        hook.tell("told/exit-address", "198.18.11.1")
        says(hook, "told 198.18.11.1 0 0\n")
        hook.tell("told/exit-address", "198.18.11.2")
        has_run(hook, 2)
    assert hook.runs()[1] == "45678||10.100.0.10|198.18.11.2"


def test_the_node_agent_reads_what_a_hook_says_while_it_runs(folder: pathlib.Path) -> None:
    messages = Messages()
    hook_process.tell(folder, "told/forwarded-port", "45678")
    with port_hook(folder, FAIL_TWICE) as hook:
        eventually(
            lambda: (
                hooks.report(messages.read(hook.container)).message
                == "port 45678 was told after 2 failed attempts"
            ),
            what="the hook's success",
        )
    assert messages.read(hook.container) == ""
    assert messages.read("") == ""


@pytest.mark.parametrize(
    "made",
    ["ln -s /etc/hostname", "mkfifo", "mkdir"],
    ids=["link", "pipe", "directory"],
)
def test_the_node_agent_reads_nothing_but_a_file_of_the_container(
    folder: pathlib.Path, made: str
) -> None:
    hook_process.tell(folder, "told/forwarded-port", "45678")
    with port_hook(folder, WRITE) as hook:
        says(hook, "told 45678 0 0\n")
        assert Messages().read(hook.container) != ""
        enter = ["nsenter", f"--mount=/proc/{hook.started.pid}/ns/mnt", "sh", "-c"]
        script = f"rm /dev/termination-log && {made} /dev/termination-log"
        subprocess.run([*enter, script], check=True)
        assert Messages().read(hook.container) == ""
