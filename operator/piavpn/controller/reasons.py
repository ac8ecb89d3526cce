"""Reasons of the conditions that the operator writes; docs/conditions.md explains each."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition is as it is."""

    # Accepted, of both kinds
    ACCEPTED = "Accepted"
    # Accepted, of a PiaVpn
    INVALID = "Invalid"  # a field that this version of the operator cannot read
    CREDENTIALS_NOT_FOUND = "CredentialsNotFound"
    CREDENTIALS_INCOMPLETE = "CredentialsIncomplete"
    IPV6_CLUSTER = "IPv6Cluster"
    CLUSTER_CIDRS_UNKNOWN = "ClusterCIDRsUnknown"
    CLUSTER_CIDRS_WRONG = "ClusterCIDRsWrong"
    SUBNET_OVERLAPS = "SubnetOverlaps"
    NO_FREE_SUBNET = "NoFreeSubnet"
    DEDICATED_IP_TOKEN_NOT_FOUND = "DedicatedIPTokenNotFound"  # noqa: S105 - no secret
    UNKNOWN_TIME_ZONE = "UnknownTimeZone"
    BYPASS_OVERLAPS = "BypassOverlaps"  # of both kinds
    # Accepted, of a VpnServiceContainer
    VPN_NOT_FOUND = "VpnNotFound"
    VPN_NOT_ACCEPTED = "VpnNotAccepted"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    ADDRESS_OUTSIDE_SUBNET = "AddressOutsideSubnet"
    ADDRESS_RESERVED = "AddressReserved"
    ADDRESS_TAKEN = "AddressTaken"
    NO_FREE_ADDRESS = "NoFreeAddress"
    NAME_TAKEN = "NameTaken"
    PORT_RECEIVER_TAKEN = "PortReceiverTaken"
    MOUNT_NOT_ALLOWED = "MountNotAllowed"
    TEMPLATE_NOT_ALLOWED = "TemplateNotAllowed"
    # PortPropagated; else what the node agent says of the hook
    NO_PORT = "NoPort"
    TELLING = "Telling"
    IN_FILE = "InFile"
    # Authenticated; PIA's own answers add pia.errors' reasons
    LOGGED_IN = "LoggedIn"
    LOGGING_IN = "LoggingIn"
    WAITING_FOR_CREDENTIALS = "WaitingForCredentials"
    # ServersKnown; a failed fetch adds pia.errors' reasons
    SERVERS_FOUND = "ServersFound"
    KEPT_LIST = "KeptList"
    FETCHING_LIST = "FetchingList"
    MEASURING = "Measuring"
    LOOKING_UP = "LookingUp"
    DEDICATED_IP_EXPIRED = "DedicatedIPExpired"
    DEDICATED_IP_INVALID = "DedicatedIPInvalid"
    UNKNOWN_LOCATION = "UnknownLocation"
    NO_SERVER_ANSWERED = "NoServerAnswered"
    NO_SERVER_LISTED = "NoServerListed"
    SERVERS_IN_USE = "ServersInUse"
    # GatewayAttached, Confined, LeakFree; otherwise the node agent's own, of the pod
    NO_POD = "NoPod"
    NODE_AGENT_SILENT = "NodeAgentSilent"  # of Ready, too
    # Ready; otherwise the reason of the first condition that holds it up
    READY = "Ready"
    GATEWAY_NOT_RUNNING = "GatewayNotRunning"
    NOT_REPORTED = "NotReported"
    VPN_NOT_READY = "VpnNotReady"
    POD_NOT_READY = "PodNotReady"
    REFUSED = "Refused"
    SUSPENDED = "Suspended"
    NOT_CONFINED = "NotConfined"
    NODE_LOST = "NodeLost"  # of both kinds
