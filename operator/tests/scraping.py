"""What Prometheus reads of a part of the product, by its names for it."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families


def scrape(url: str) -> dict[str, float]:
    """Return the values at a URL by name and labels, such as `up{job="a",node="b"}`."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    families = text_string_to_metric_families(text)
    return {
        series(sample.name, sample.labels): sample.value
        for family in families
        for sample in family.samples
    }


def series(name: str, labels: dict[str, str]) -> str:
    """Return how Prometheus writes a series, its labels in order."""
    listed = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{listed}}}" if listed else name
