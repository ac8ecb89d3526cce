"""The two custom resources: their types, conditions and names; the only reader of raw dicts."""
