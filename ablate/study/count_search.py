"""The whole number whose count is nearest to a wanted one, where only some numbers have a count, and each is dear."""

from __future__ import annotations

from collections.abc import Callable

#: So many values in a row without a count end the search there: heads and grids leave smaller gaps between widths.
_GAP = 256
#: Values are tried up to so many times the first.
_LARGEST = 64


def closest(start: int, own: int, wanted: int, count_at: Callable[[int], int | None]) -> tuple[int, int]:
    """The value >= 1 whose count comes closest to ``wanted``, and that count; of equally close ones the first found.

    ``own`` is the count at ``start``. ``count_at`` gives None for a value with which nothing can be built. It is asked
    for O(log) values, which is exact where counts rise with the value, or fall with it, up to `_LARGEST` times
    ``start``, and no gap between values that work is wider than `_GAP`.
    """
    return _Search(start, own, wanted, count_at).closest()


class _Search:
    """Doubling strides until the wanted count is passed, then bisection, over the values that work."""

    def __init__(self, start: int, own: int, wanted: int, count_at: Callable[[int], int | None]) -> None:
        self.start, self.wanted, self._count_at = start, wanted, count_at
        self.counts: dict[int, int] = {start: own}
        self._useless: set[int] = set()

    def closest(self) -> tuple[int, int]:
        upwards = self.counts[self.start] < self.wanted
        for direction in (1, -1) if upwards else (-1, 1):  # counts mostly rise with the field
            ends = self._bracket(direction)
            if ends is not None:
                self._bisect(min(ends), max(ends))
                break
        return min(self.counts.items(), key=lambda found: (abs(found[1] - self.wanted), abs(found[0] - self.start)))

    def _bracket(self, direction: int) -> tuple[int, int] | None:
        """Two neighbouring values of the walk with the wanted count between theirs, None where the walk has none."""
        last = 1 if direction < 0 else _LARGEST * self.start
        near, stride = self.start, 1
        while True:
            far = self._working(near + direction * stride, last)
            if far is None and stride == 1:
                return None
            if far is None:
                stride = 1  # it may have jumped over what is left
                continue
            if self._over(near) != self._over(far) or self.counts[far] == self.wanted:
                return near, far
            farther = abs(self.counts[far] - self.wanted) > abs(self.counts[near] - self.wanted)
            if farther and near == self.start:
                return None  # the wrong way
            near, stride = far, 2 * stride

    def _bisect(self, low: int, high: int) -> None:
        while high - low > 1:
            middle = (low + high) // 2
            found = self._working(middle, high - 1)
            if found is None and middle - 1 > low:
                found = self._working(middle - 1, low + 1)
            if found is None:
                return
            if self._over(found) == self._over(low):
                low = found
            else:
                high = found

    def _over(self, value: int) -> bool:
        return self.counts[value] > self.wanted

    def _working(self, first: int, last: int) -> int | None:
        """The first value that works from ``first`` towards ``last``, which is the last one tried."""
        step = 1 if last >= first else -1
        if not 1 <= first <= _LARGEST * self.start:
            return None
        for value in range(first, last + step, step)[: _GAP + 1]:
            if value not in self.counts and value not in self._useless:
                count = self._count_at(value)
                if count is None:
                    self._useless.add(value)
                else:
                    self.counts[value] = count
            if value in self.counts:
                return value
        return None
