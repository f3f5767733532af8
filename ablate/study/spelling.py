"""What a misspelt name of a Variant was probably meant to be, Factor by Factor."""

from __future__ import annotations

import difflib

from ablate.study.axes import ApartError, Axes

#: A name with one of these is a pattern, of which parts may fit nothing by themselves.
WILDCARDS = frozenset("*?[")
#: How alike a part and what it is taken for must be, as `difflib.SequenceMatcher.ratio` has it.
_ALIKE = 0.5


def spelled(name: str, axes: Axes) -> str | None:
    """A name of Levels as the study would write it: each part that is none of its Levels replaced by the nearest one.

    Of a Factor that the study has, the nearest of its Levels; else the nearest of all Levels of Factors that no other
    part names. The parts come in the study's order of Factors, and without those at their references. None where a part
    has nothing near, where two are of one Factor, or where the Levels do not go together.
    """
    if "=" not in name or WILDCARDS & set(name):
        return None
    split = [text.partition("=") for text in name.split(",")]
    parts = [(factor.strip(), level.strip()) for factor, _, level in split]
    named = {factor for factor, _ in parts if factor in axes.factors}
    levels: dict[str, str] = {}
    for factor, level in parts:
        allowed = [(f, x) for f, x in axes.words if (f == factor if factor in named else f not in {*named, *levels})]
        found = _nearest(factor, level, axes, allowed)
        if found is None or found[0] in levels:
            return None
        levels[found[0]] = found[1]
    try:
        return axes.name(axes.at(levels))
    except ApartError:
        return None


def _nearest(factor: str, level: str, axes: Axes, allowed: list[tuple[str, str]]) -> tuple[str, str] | None:
    if (factor, level) in axes.words:
        return factor, level
    texts = {axes.words[word]: word for word in allowed}
    close = difflib.get_close_matches(f"{factor}={level}", list(texts), n=1, cutoff=_ALIKE)
    return texts[close[0]] if close else None
