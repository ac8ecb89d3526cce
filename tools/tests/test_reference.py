"""docs/reference.md says what the CRDs say."""

from __future__ import annotations

from generate import reference


def test_the_reference_is_what_the_crds_say() -> None:
    assert reference.TARGET.read_text() == reference.text(), "run: make reference"


def test_it_has_a_row_for_each_field_with_its_type_and_words() -> None:
    rows = reference.text().splitlines()
    (subnet,) = (row for row in rows if row.startswith("| `spec.network.subnet` "))
    assert subnet.startswith("| `spec.network.subnet` | string | IPv4 network of the bridge")
    (name,) = (row for row in rows if row.startswith("| `spec.vpnRef.name` "))
    assert name.endswith("**Required.** |")
    (probe,) = (row for row in rows if row.startswith("| `spec.livenessProbe` "))
    assert probe.endswith("*As in a pod.* |")
    assert not any(row.startswith("| `spec.livenessProbe.") for row in rows)
