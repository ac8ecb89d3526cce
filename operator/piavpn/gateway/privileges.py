"""Give up root and keep three capabilities, which the programs that we start inherit.

Kubernetes gives a process that is not root no capability at all, so the container starts as uid 0.
See capabilities(7) and prctl(2): a capability is ambient only while permitted and inheritable.
"""

from __future__ import annotations

import ctypes
import os

NOBODY = 65534

_CAP_NET_BIND_SERVICE, _CAP_NET_ADMIN, _CAP_NET_RAW = 10, 12, 13
KEPT = (_CAP_NET_BIND_SERVICE, _CAP_NET_ADMIN, _CAP_NET_RAW)
"""dnsmasq: port 53, and sockets bound to a link (NET_RAW); the rest is the namespace's network."""

_PR_SET_KEEPCAPS = 8
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class PrivilegeError(Exception):
    """The container lacks what the gateway needs; the message tells what to grant."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def give_up_root() -> None:
    """Go on as nobody with the kept capabilities alone; call it before any thread starts.

    Raises:
        PrivilegeError: one of them is not granted.
    """
    try:
        if os.getuid() == 0:
            _become_nobody()
        _set_capabilities()
        for capability in KEPT:
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    except OSError as error:
        raise PrivilegeError(
            f"{error.strerror}: the gateway starts as uid 0 with the capabilities NET_ADMIN, "
            "NET_RAW, NET_BIND_SERVICE, SETUID, SETGID and SETPCAP, or as another user that has "
            "the first three as ambient capabilities"
        ) from error


def _become_nobody() -> None:
    _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _set_capabilities() -> None:
    mask = sum(1 << capability for capability in KEPT)
    header = _Header(_CAPABILITY_VERSION_3, 0)
    data = (_Data * 2)(_Data(mask, mask, mask), _Data(0, 0, 0))
    _check(_libc.capset(ctypes.byref(header), data))


def _prctl(option: int, first: int, second: int = 0) -> None:
    arguments = (ctypes.c_ulong(first), ctypes.c_ulong(second), ctypes.c_ulong(0))
    _check(_libc.prctl(option, *arguments, ctypes.c_ulong(0)))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
