"""Programs that run in pods and on nodes, by their text: they import nothing of ours."""

import pathlib


def text(name: str) -> str:
    """Return a program's source."""
    return (pathlib.Path(__file__).parent / f"{name}.py").read_text()
