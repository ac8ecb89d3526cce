"""What can go wrong with PIA, one class for each thing that a person or the program does about it.

Messages are made for conditions: they name the peer and say what to do, and never hold a secret.
"""

from __future__ import annotations

from typing import ClassVar


class PiaError(Exception):
    """Anything that kept PIA from giving what was asked for."""

    reason: ClassVar[str] = "PiaError"
    """The reason of a condition: CamelCase, stable."""

    @property
    def message(self) -> str:
        """The message of a condition."""
        return str(self)


class InvalidEndpoint(PiaError):  # noqa: N818 - the reason's name
    """`spec.endpoints` cannot be used: a URL, a certificate or a key in it is no such thing."""

    reason = "InvalidEndpoint"


class BadCredentials(PiaError):  # noqa: N818 - the reason's name
    """PIA does not know this user name and password."""

    reason = "BadCredentials"


class RateLimited(PiaError):  # noqa: N818 - the reason's name
    """PIA takes no login of this account or address for a while: at least 15 minutes are wise."""

    reason = "RateLimited"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds that PIA asks to wait; None when it does not say."""


class SubscriptionExpired(PiaError):  # noqa: N818 - the reason's name
    """The account exists, and is not paid for."""

    reason = "SubscriptionExpired"


class TokenRejected(PiaError):  # noqa: N818 - the reason's name
    """A WireGuard server does not take the token: it takes a new login."""

    reason = "TokenRejected"


class Unreachable(PiaError):  # noqa: N818 - the reason's name
    """No answer, or one from something that stands in the way."""

    reason = "Unreachable"


class NotLetThrough(Unreachable):
    """The bootstrap proxy is not there, or does not know the server yet: no server's fault."""


class BadCertificate(PiaError):  # noqa: N818 - the reason's name
    """The peer cannot prove that it is PIA. Verification is never switched off for it."""

    reason = "BadCertificate"


class BadSignature(PiaError):  # noqa: N818 - the reason's name
    """The server list is not what PIA signed."""

    reason = "BadSignature"


class BadResponse(PiaError):  # noqa: N818 - the reason's name
    """The peer is PIA, and its answer makes no sense."""

    reason = "BadResponse"


class Unauthorized(PiaError):  # noqa: N818 - the reason's name
    """The port forwarding API takes us for no client: the call came from outside the tunnel."""

    reason = "Unauthorized"


class PortBusy(PiaError):  # noqa: N818 - the reason's name
    """The port is another's at this server: it takes another port, or another server."""

    reason = "PortBusy"


class PortForwardingNotOffered(PiaError):  # noqa: N818 - the reason's name
    """The server has no port forwarding API: PIA offers none in this region."""

    reason = "PortForwardingNotOffered"


class SignatureRejected(PiaError):  # noqa: N818 - the reason's name
    """The server does not take a port's signature, such as an expired one: it takes a new one."""

    reason = "SignatureRejected"
