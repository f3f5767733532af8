"""What a model consists of, as text: classes of its modules and their plain attributes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

from torch import nn

#: What a part says about itself as an attribute of its class (see `ablate.models`).
_CONTRACT = ("grid", "prefix_tokens", "representations", "reads_blocks", "acts_on")


def module_tree(model: nn.Module) -> dict[str, str]:
    """``name`` -> class, and ``name:attribute`` -> value, of every module; the model itself has the empty name.

    Values are told where they are plain, or functions; two that differ have different texts.
    """
    found = {}
    for name, module in model.named_modules():
        found[name] = type(module).__name__
        found |= {f"{name}:{attribute}": text for attribute, text in _attributes(module)}
    return found


def _attributes(module: nn.Module) -> Iterator[tuple[str, str]]:
    """What a module says about itself in plain values; one that is None is as good as not there."""
    told: dict[str, Any] = {n: getattr(module, n) for n in _CONTRACT if hasattr(type(module), n)}
    told |= {n: value for n, value in vars(module).items() if not n.startswith("_") and n != "training"}
    for name, value in told.items():
        text = _plain(value)
        if text is not None:
            yield name, text


def _plain(value: Any) -> str | None:
    if isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, tuple | list):
        texts = [_plain(item) for item in value]
        return None if None in texts else f"({', '.join(map(str, texts))})"
    if isinstance(value, functools.partial):
        given = [*map(_named, value.args), *(f"{name}={_named(v)}" for name, v in value.keywords.items())]
        return f"{_named(value.func)}({', '.join(given)})"
    return getattr(value, "__name__", None) if inspect.isroutine(value) else None


def _named(value: Any) -> str:
    """What is not plain is told by its own name or its class's: the text that Python has for it holds an address."""
    return _plain(value) or (value.__name__ if inspect.isclass(value) else type(value).__name__)
