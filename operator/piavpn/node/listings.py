"""Take the listing of an nft table, or the text that makes it, apart: rules, and what differs.

What differs between nodes, and with every pod that comes or goes, is which links and addresses the
table is about: the elements of its plain sets and the links that its hooks are on. nft sorts them
its own way. What is left is the same text for ever. Pure.
"""

from __future__ import annotations

import dataclasses
import re

STAND_IN = "piavpn-any"
"""Name of a link: in a shape, it takes the place of those that hooks are on."""

_SET = re.compile(r"\bset (\w+) \{([^{}]*?)\s*elements = \{([^{}]*)\};?")
_HOOKED = re.compile(r'\bdevices? (?:= \{([^{}]*)\}|("[^"]*"))')
_HOOKS = "hooks"
"""No set of ours is called that."""


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """A table, taken apart."""

    shape: str
    """All but the elements; of a text, one that makes such a table with `STAND_IN` alone."""
    elements: dict[str, frozenset[str]]
    """By set; sets with none are left out. Links of hooks, too."""


def take_apart(table: str) -> Parts:
    """Take apart what nft lists, or is given, of one table.

    Sets of intervals stay as they are: the kernel may join what they hold.
    """
    elements: dict[str, frozenset[str]] = {}

    def without_elements(found: re.Match[str]) -> str:
        name, definition, inside = found.groups()
        if "interval" in definition:
            return found[0]
        elements[name] = _split(inside)
        return f"set {name} {{{definition}"

    def without_links(found: re.Match[str]) -> str:
        # In quotation marks or not: nft's versions differ.
        links = {link.strip('"') for link in _split(found[1] or found[2])}
        elements[_HOOKS] = elements.get(_HOOKS, frozenset()) | links
        return f'devices = {{ "{STAND_IN}" }}'

    shape = _HOOKED.sub(without_links, _SET.sub(without_elements, table))
    return Parts(shape, elements)


def _split(inside: str) -> frozenset[str]:
    return frozenset(" ".join(element.split()) for element in inside.split(","))
