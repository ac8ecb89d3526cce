"""A log line is one decision, with its object, in text or in JSON."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from piavpn import logs

log = logging.getLogger("piavpn.controller.errands")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def as_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = said(capsys)
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_text_is_the_default_and_names_object_reason_and_duration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up({})

    log.info("logged in to PIA", extra=logs.about("PiaVpn", "home", reason="LoggedIn", seconds=0.2))
    log.warning("attached", extra=logs.about("Pod", "web-0", "media"))
    log.warning("%d errors", 2)

    lines = [line.split(" ", maxsplit=2)[2] for line in said(capsys)]
    assert lines == [
        "INFO PiaVpn home: logged in to PIA (reason=LoggedIn, duration=0.2s)",
        "WARNING Pod media/web-0: attached",
        "WARNING 2 errors",
    ]


def test_a_line_of_json_has_the_standard_keys(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up({"PIAVPN_LOG_FORMAT": "json"})

    subject = logs.about("Pod", "web-0", "media", reason="Attached", seconds=0.12345)
    log.info("attached and\nlocked: %s", "ü", extra=subject)

    line = as_json(capsys)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "piavpn.controller.errands",
        "msg": "attached and\nlocked: ü",
        "object": {"kind": "Pod", "namespace": "media", "name": "web-0"},
        "reason": "Attached",
        "duration_seconds": 0.123,
    }


def test_a_gateway_s_lines_are_about_its_piavpn(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up({"PIAVPN_LOG_FORMAT": "json"}, logs.subject("PiaVpn", "home"))

    log.warning("no answer", extra=logs.why("ServerSilent"))

    line = as_json(capsys)
    assert line["object"] == {"kind": "PiaVpn", "name": "home"}
    assert (line["level"], line["reason"]) == ("warning", "ServerSilent")


def test_a_traceback_stays_in_its_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up({"PIAVPN_LOG_FORMAT": "json"})

    log.error("failed", exc_info=OSError("no way"))

    line = as_json(capsys)
    assert line["exc"] == "OSError: no way"


def test_what_kopf_says_of_an_object_is_about_that_object(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up({"PIAVPN_LOG_FORMAT": "json"})
    reference = {"apiVersion": "piavpn.dev/v1alpha1", "kind": "PiaVpn", "name": "home", "uid": "1"}

    logging.getLogger("kopf.objects").warning("slow", extra={"k8s_ref": reference})
    logging.getLogger("kopf.objects").info("watching")  # of no interest to an operator's owner

    assert as_json(capsys)["object"] == {"kind": "PiaVpn", "name": "home"}


def test_another_format_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="PIAVPN_LOG_FORMAT must be text or json, not 'xml'"):
        logs.set_up({"PIAVPN_LOG_FORMAT": "xml"})
    assert isinstance(logging.getLogger().handlers[0].formatter, logs.TextFormatter)


def test_a_formatted_record_is_left_as_it_was() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.TextFormatter())
    record = log.makeRecord("x", 20, "f", 1, "twice", (), None, extra=logs.about("PiaVpn", "home"))
    handler.handle(record)
    handler.handle(record)
    assert stream.getvalue().count("PiaVpn home: twice\n") == 2


def test_a_gate_logs_as_the_others_do() -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(logs.__file__).parents[1])}
    environment |= {"PIAVPN_LOG_FORMAT": "json", "PIAVPN_ADDRESS": "10.100.0"}
    gate = [sys.executable, "-m", "piavpn", "gate"]
    done = subprocess.run(gate, env=environment, capture_output=True, text=True, check=False)

    line = json.loads(done.stderr)
    assert done.returncode == 2
    assert set(line) == {"ts", "level", "logger", "msg", "object", "duration_seconds"}
    assert (line["level"], line["logger"]) == ("error", "piavpn.gate")
    assert line["msg"].startswith("error: PIAVPN_ADDRESS must hold an IPv4 address")
    assert line["object"]["kind"] == "Pod"
