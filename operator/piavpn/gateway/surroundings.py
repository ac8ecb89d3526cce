"""Look around: links, lock, and the files that the operator has the kubelet mount."""

from __future__ import annotations

from datetime import UTC, datetime

from piavpn.api import gateway_config
from piavpn.gateway import decide, inputs, tunnel

_LOCK = "the lock of eth0"


class Observer:
    """Looks at links and files each time; at the lock until it was seen once."""

    def __init__(self, files: inputs.Files) -> None:
        self._files = files
        self._locked = False

    def look(self) -> decide.Surroundings:
        """Return what is there now.

        Raises:
            NftError: nft does not work here at all.
        """
        config, problem = self._config()
        return decide.Surroundings(
            missing=self._missing(),
            config=config,
            config_problem=problem,
            token=self._token(config),
            time=datetime.now(UTC),
        )

    def _token(self, config: gateway_config.GatewayConfig | None) -> str | None:
        """Return the token to register with."""
        dedicated = config is not None and config.dedicated_ip
        return inputs.read_token(self._files.dedicated_ip if dedicated else self._files.token)

    def _missing(self) -> tuple[str, ...]:
        links = tunnel.absent_links()
        # The agent makes the lock first and watches it from then on: asking nft each time is dear.
        self._locked = self._locked or tunnel.locked()
        return links if self._locked else (_LOCK, *links)

    def _config(self) -> tuple[gateway_config.GatewayConfig | None, str]:
        try:
            return inputs.read_config(self._files.config), ""
        except inputs.InputError as error:
            return None, str(error)
