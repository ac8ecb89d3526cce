"""The control API: what tests ask and command, as JSON over plain HTTP. No client of PIA's sees it.

Commands are described in README.md; `client` speaks them.
"""

import json
import logging
from collections.abc import Callable
from typing import Any

from fakepia import failures, internet, namespaces, portforward, reports, stage, web

_log = logging.getLogger(__name__)

_Command = Callable[[dict[str, Any]], object]


class BadRequestError(Exception):
    """The request cannot be read; the message says why."""


class Control:
    """The application on the control port."""

    def __init__(self, staged: stage.Stage) -> None:
        self._stage = staged
        self._commands: dict[tuple[str, str], _Command] = {
            ("GET", "/endpoints"): lambda _: staged.identity.endpoints(),
            ("GET", "/state"): lambda _: reports.state(staged),
            ("GET", "/fail"): lambda _: staged.switchboard.document,
            ("POST", "/fail"): self._fail,
            ("POST", "/credentials"): self._accept_credentials,
            ("POST", "/revoke-tokens"): lambda _: {"revoked": staged.accounts.revoke_all()},
            ("POST", "/forget-peers"): self._forget_peers,
            ("POST", "/port-forwarding"): self._set_lifetimes,
            ("POST", "/connect"): self._connect,
            ("GET", "/leaks"): self._leaks,
            ("POST", "/leaks/mark"): lambda _: {"marker": staged.leaks.mark()},
            ("POST", "/leaks/reset"): lambda _: staged.leaks.reset(),
            ("POST", "/reset"): lambda _: staged.reset(),
        }

    def __call__(self, request: web.Request) -> web.Reply:
        """Answer a request: 200 with a JSON object, 400 or 404 with `error`."""
        command = self._commands.get((request.method, request.path))
        if command is None:
            known = ", ".join(" ".join(one) for one in self._commands)
            return web.json_reply({"error": f"no such command; there are {known}"}, status=404)
        try:
            result = command(_arguments(request))
        except KeyError as error:
            return web.json_reply({"error": f"the field {error} is missing"}, status=400)
        except (BadRequestError, failures.InvalidFailureError, ValueError, TypeError) as error:
            return web.json_reply({"error": str(error)}, status=400)
        except namespaces.CommandError as error:
            return web.json_reply({"error": str(error)}, status=500)
        if request.method == "POST":
            _log.info("%s by %s", request.path, request.client)
        return web.json_reply({} if result is None else result)

    def _fail(self, patch: dict[str, Any]) -> object:
        self._stage.switchboard.change(patch)
        return self._stage.switchboard.document

    def _accept_credentials(self, arguments: dict[str, Any]) -> None:
        self._stage.accounts.accept(str(arguments["username"]), str(arguments["password"]))

    def _forget_peers(self, arguments: dict[str, Any]) -> object:
        name = str(arguments["server"])
        sites = self._stage.sites if name == failures.EVERY else (self._stage.site(name),)
        return {"forgotten": sum(site.server.forget_peers() for site in sites)}

    def _set_lifetimes(self, arguments: dict[str, Any]) -> None:
        before = self._stage.ports.lifetimes
        self._stage.ports.lifetimes = portforward.Lifetimes(
            binding=int(arguments.get("bindingSeconds", before.binding)),
            signature=int(arguments.get("signatureSeconds", before.signature)),
        )

    def _connect(self, arguments: dict[str, Any]) -> object:
        protocol = str(arguments["protocol"])
        if protocol not in {"tcp", "udp"}:
            raise ValueError(f"protocol is {protocol!r}, neither tcp nor udp")
        try:
            answer = internet.dial(
                self._stage.internet,
                str(arguments["address"]),
                int(arguments["port"]),
                protocol,
                str(arguments["payload"]).encode("latin-1"),
            )
        except OSError as error:
            return {"connected": False, "answer": None, "reason": str(error)}
        text = None if answer is None else answer.decode("latin-1")
        return {"connected": True, "answer": text, "reason": None}

    def _leaks(self, arguments: dict[str, Any]) -> object:
        if "since" in arguments:
            return reports.leaks(self._stage.leaks.since(int(arguments["since"])))
        return reports.leaks(self._stage.leaks.report())


def _arguments(request: web.Request) -> dict[str, Any]:
    if request.method == "GET":
        return dict(request.query)
    document = json.loads(request.body or b"{}")
    if not isinstance(document, dict):
        raise BadRequestError("the body is no JSON object")
    return document
