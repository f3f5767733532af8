"""A digest of Python source that stays the same whichever Python reads it.

A Trial's id must not change with the interpreter. `ast.dump` does (fields come and empty lists go), and so does
`ast.unparse` (the quotes in f-strings), so the tree is written out here: the node's name and those of its fields
that hold something.
"""

from __future__ import annotations

import ast
import hashlib
from typing import Any

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def source_digest(tree: ast.Module) -> str:
    """Sixteen hexadecimal digits; comments, layout and docstrings do not count."""
    return hashlib.sha256(_text(tree).encode()).hexdigest()[:16]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if not isinstance(value, ast.AST):
        return ascii(value)  # and not repr, which asks the interpreter's Unicode tables what can be printed
    fields = []
    for name, content in ast.iter_fields(value):
        if name == "body" and isinstance(value, _DOCUMENTED):
            content = _without_docstring(content)
        elif name == "values" and isinstance(value, ast.JoinedStr):
            content = [part for part in content if not _is_empty_text(part)]  # Python 3.12 alone has them
        if content is not None and content != []:
            fields.append(f"{name}={_text(content)}")
    return f"{type(value).__name__}({','.join(fields)})"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body


def _is_empty_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value == ""
