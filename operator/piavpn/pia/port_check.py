"""Ask somebody on the Internet whether a port of ours is open.

Not PIA's: any service that connects to whoever asks it. The form of the answer is echoip's
(mpolden/echoip, `GET /port/NUMBER`): `{"ip": "…", "port": …, "reachable": true}`.
"""

from __future__ import annotations

from http import HTTPStatus

from piavpn.pia import errors, exit_address


def get(
    url: str, resolve: exit_address.Resolve, *, link: str, ca_bundle: str | None, timeout: float
) -> bool:
    """Tell whether the port in the URL was reached; arguments as of `exit_address.get`.

    Raises:
        BadResponse: the answer does not tell.
        PiaError: as `exit_address.ask`.
    """
    peer, response = exit_address.ask(url, resolve, link=link, ca_bundle=ca_bundle, timeout=timeout)
    reached = response.json_object().get("reachable")
    if response.status != HTTPStatus.OK or not isinstance(reached, bool):
        raise errors.BadResponse(
            f"{peer} does not tell whether the port is open (HTTP {response.status})"
        )
    return reached
