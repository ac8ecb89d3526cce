"""The reasons of the gateway's own conditions; those of PIA's protocol are `piavpn.pia.errors`."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition is as it is."""

    WAITING_FOR_NODE = "WaitingForNode"
    CONFIGURATION_UNUSABLE = "ConfigurationUnusable"
    WAITING_FOR_TOKEN = "WaitingForToken"  # noqa: S105 - a reason's name
    NO_SERVERS = "NoServers"
    REGISTERING = "Registering"
    NO_SERVER_ANSWERED = "NoServerAnswered"
    SERVER_SILENT = "ServerSilent"
    NO_INTERNET = "NoInternet"
    LINK_FAILED = "LinkFailed"
    LINK_GONE = "LinkGone"
    REGISTERED = "Registered"
    RENEWAL_FAILING = "RenewalFailing"
    RETURN_FAILING = "ReturnFailing"
    LOCATION_CHANGE_FAILING = "LocationChangeFailing"
    PORT_MOVE_FAILING = "PortMoveFailing"
    SERVER_ANSWERS = "ServerAnswers"
    BINDING = "Binding"
    BOUND = "Bound"
    NO_TUNNEL = "NoTunnel"
    REACHED = "Reached"
    NOT_REACHED = "NotReached"
    NOT_CHECKED = "NotChecked"
