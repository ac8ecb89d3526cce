from __future__ import annotations

import pytest

from piavpn.node import gates


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"waiting: there is no default route yet\n", "there is no default route yet"),
        (b"error: PIAVPN_ADDRESS must hold an address\n", "PIAVPN_ADDRESS must hold an address"),
        (b"waiting: new\nrest of an older, longer one\n", "new"),
        (b"waiting: half a li", ""),
        (b"ok: 10.100.0.10 goes by the gateway 10.100.0.2 alone\n", ""),
        (b"root:x:0:0:root:/root:/bin/bash\n", ""),
        (b"", ""),
        (b"waiting: \x1b[31mred\x00\tand \xff\n", "[31mred  and \N{REPLACEMENT CHARACTER}"),
        (b"waiting: " + b"x" * 900 + b"\n", "x" * 300),
    ],
    ids=["wait", "error", "shorter", "unfinished", "passed", "other", "empty", "strange", "long"],
)
def test_of_last_words_one_line_is_told_that_can_be_shown(text: bytes, expected: str) -> None:
    assert gates.line(text) == expected
