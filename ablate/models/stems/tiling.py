"""How many squares tile an image."""

from __future__ import annotations


def tiled(size: tuple[int, int], side: int, what: str = "an image") -> tuple[int, int]:
    """Rows and columns of the squares of ``side`` px that tile ``size``, (height, width), px.

    Raises ValueError, which calls what has that size ``what``, where they do not tile it.
    """
    height, width = size
    if side < 1 or height < 1 or width < 1 or height % side or width % side:
        raise ValueError(f"patches of {side} px do not tile {what} of {height} x {width} px")
    return height // side, width // side
