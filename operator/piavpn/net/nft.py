"""nftables by the `nft` program: rule sets go in as text, in one transaction each."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from typing import Any

from piavpn.net import programs


class NftError(Exception):
    """The kernel or nft refused; the message is nft's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Counter:
    """What a named counter has counted."""

    packets: int
    bytes: int


def load(ruleset: str) -> None:
    """Apply `ruleset` as one transaction: all of it, or nothing.

    A rule set that replaces a table begins with `table F T` and `delete table F T`, so that it
    works whether the table is there or not.

    Raises:
        NftError: a rule is wrong, or the kernel cannot do it; nothing was changed.
    """
    _nft("-f", "-", stdin=ruleset)


def delete_table(table: str) -> None:
    """Remove the table, such as `inet piavpn`; one that is not there is fine.

    Raises:
        NftError: the kernel refused.
    """
    load(f"table {table}\ndelete table {table}\n")


def has_table(table: str) -> bool:
    """Tell whether the table is there.

    Raises:
        NftError: nft does not work here at all.
    """
    family, name = table.split()
    listed = json.loads(_nft("-j", "list", "tables"))
    tables = _of_kind(listed, "table")
    return any(item["family"] == family and item["name"] == name for item in tables)


def list_table(table: str) -> str:
    """Return the table as nft prints it, without counters' values.

    Raises:
        NftError: there is no such table.
    """
    return _nft("--stateless", "list", "table", *table.split())


def find_table(table: str) -> str | None:
    """Return the table as `list_table` does, or None where there is none.

    Raises:
        NftError: nft does not work here at all.
    """
    try:
        return list_table(table)
    except NftError:
        # One run where the table is there, as it nearly always is.
        if has_table(table):
            raise
        return None


def counters(table: str) -> dict[str, Counter]:
    """Return the named counters of the table, such as `inet piavpn`.

    Raises:
        NftError: there is no such table.
    """
    listed = json.loads(_nft("-j", "list", "counters", "table", *table.split()))
    return {item["name"]: _counter(item) for item in _of_kind(listed, "counter")}


def all_counters(tables: Collection[str]) -> dict[str, dict[str, Counter]]:
    """Return the named counters of those of the tables that are there, by table.

    Raises:
        NftError: nft does not work here at all.
    """
    found: dict[str, dict[str, Counter]] = {}
    for item in _of_kind(json.loads(_nft("-j", "list", "counters")), "counter"):
        table = f"{item['family']} {item['table']}"
        if table in tables:
            found.setdefault(table, {})[item["name"]] = _counter(item)
    return found


def _counter(raw: dict[str, Any]) -> Counter:
    return Counter(packets=raw["packets"], bytes=raw["bytes"])


def _of_kind(listed: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [item[kind] for item in listed["nftables"] if kind in item]


def _nft(*arguments: str, stdin: str = "") -> str:
    try:
        return programs.run("nft", *arguments, stdin=stdin)
    except programs.ProgramError as error:
        raise NftError(str(error)) from error
