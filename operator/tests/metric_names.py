"""The metrics that the product serves, as its sources have them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import piavpn


def served() -> dict[str, str]:
    """Return the type of each metric that some part of the product serves, by its name."""
    modules = Path(str(piavpn.__file__)).parent.glob("*/metrics.py")
    return dict(made for module in modules for made in _made_in(ast.parse(module.read_text())))


def _made_in(module: ast.Module) -> Iterator[tuple[str, str]]:
    for item in ast.walk(module):
        match item:
            case ast.Call(
                func=ast.Attribute(attr="gauge" | "histogram" as kind),
                args=[ast.Constant(value=name), *_],
            ):
                yield f"piavpn_{name}", kind
            case ast.Call(func=ast.Attribute(attr="counter"), args=[ast.Constant(value=name), *_]):
                yield f"piavpn_{name}_total", "counter"
            case ast.Call(func=ast.Attribute(attr="Drops"), args=[ast.Constant(value=name), *_]):
                yield f"piavpn_{name}_packets_total", "counter"
