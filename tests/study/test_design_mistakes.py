"""Every mistake in designs, constraints and analysis is one line: its place, what is allowed, what was meant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

#: (what is replaced in the example, by what with `¦` before the place to be told, a piece of the message)
MISTAKES = {
    "design's option": (
        "design: one_at_a_time",
        "design: [pairs, {ladder: {¦step: []}}]",
        "unknown key 'step' in 'design.1.ladder'; allowed: factors, steps, direction, order; did you mean 'steps'?",
    ),
    "no design's options": ("design: one_at_a_time", "¦design: {}", "design: give one design with a mapping of its"),
    "design's name": ("design: one_at_a_time", "design: [¦lader]", "or a mapping, not 'lader'; did you mean 'ladder'?"),
    "no resolution": ("design: one_at_a_time", "¦design: fractional", "needs the resolution that is wanted"),
    "resolution": (
        "design: one_at_a_time",
        "design: {fractional: {¦resolution: 6}}",
        "resolution: must be 3, 4 or 5, not 6",
    ),
    "no such fraction": (
        "design: one_at_a_time",
        "design: {¦fractional: {resolution: 4, levels: {posemb: none, batch: 64}}}",
        "no fraction of 3 Factors has resolution 4: it takes all 8 combinations; use factorial",
    ),
    "fraction of which Levels": (
        "design: one_at_a_time",
        "design: {¦fractional: {resolution: 3}}",
        "'posemb' has several Levels beside its reference: name the one to use in 'levels'",
    ),
    "fraction of a reference": (
        "design: one_at_a_time",
        "design: {fractional: {resolution: 3, levels: {¦posemb: sincos2d}}}",
        "'sincos2d' is the reference of 'posemb'; name another Level",
    ),
    "fraction without a run": (
        "design: one_at_a_time",
        "exclude: [{randaug: off, posemb: none}]\n"
        "design: {¦fractional: {resolution: 3, levels: {posemb: none, batch: 64}}}",
        "constraints take out 1 of the 4 runs of the fractional design (the first is 'posemb=none,randaug=off'",
    ),
    "design's factor": (
        "design: one_at_a_time",
        "design: {pairs: {factors: [batch, ¦posem]}}",
        "there is no Factor named 'posem'; allowed: posemb, batch, randaug; did you mean 'posemb'?",
    ),
    "design's factor twice": (
        "design: one_at_a_time",
        "design: {pairs: {factors: [batch, ¦batch]}}",
        "Factor 'batch' is named twice",
    ),
    "ladder of several Levels": (
        "design: one_at_a_time",
        "¦design: ladder",
        "the ladder needs its 'steps': 'posemb' has several Levels beside its reference (posemb=learned, posemb=none)",
    ),
    "ladder's step": (
        "design: one_at_a_time",
        "design: {ladder: {steps: [randaug=off, ¦posemb]}}",
        "a step is FACTOR=LEVEL, such as 'posemb=learned', not 'posemb'",
    ),
    "ladder's level": (
        "design: one_at_a_time",
        "design: {ladder: {steps: [[randaug=off, ¦posemb=lerned]]}}",
        "there is no Level of 'posemb' named 'lerned'; allowed: sincos2d, learned, none; did you mean 'learned'?",
    ),
    "ladder's step twice": (
        "design: one_at_a_time",
        "design: {ladder: {steps: [randaug=off, ¦randaug=off]}}",
        "the step 'randaug=off' is given twice",
    ),
    "ladder's step to where it stands": (
        "design: one_at_a_time",
        "design: {ladder: {steps: [randaug=off, ¦posemb=sincos2d]}}",
        "the step 'posemb=sincos2d' changes nothing where it stands in the ladder",
    ),
    "ladder's rung taken out": (
        "design: one_at_a_time",
        "exclude: [{posemb: none, randaug: off}]\ndesign: {ladder: {steps: [randaug=off, ¦posemb=none]}}",
        "'posemb=none,randaug=off', is taken out by entry 1 of 'exclude'",
    ),
    "exclude's factor": ("design:", "exclude: [{posemb: none, ¦bach: 64}]\ndesign:", "there is no Factor named 'bach'"),
    "exclude's level": ("design:", "exclude: [{posemb: [none, ¦learnt]}]\ndesign:", "did you mean 'learned'?"),
    "exclude of nothing": ("design:", "exclude: [¦{}]\ndesign:", "exclude.0: must be a mapping with at least 1 entry"),
    "exclude of the baseline": (
        "design:",
        "exclude: [{batch: 128, randaug: off}, ¦{randaug: '10'}]\ndesign:",
        "entry 2 of 'exclude' takes out the baseline",
    ),
    "exclude of everything": (
        "design: one",
        "exclude: [{posemb: [learned, none]}, {batch: [64, 128]}, {randaug: off}]\n¦design: one",
        "constraints leave nothing of this design but the baseline",
    ),
    "only_if of nothing": (
        "design:",
        "only_if: [¦{levels: {randaug: off}}]\ndesign:",
        "'requires' is missing in 'only_if.0'",
    ),
    "only_if that the baseline breaks": (
        "design:",
        "only_if: [¦{levels: {randaug: '10'}, requires: {posemb: none}}]\ndesign:",
        "entry 1 of 'only_if' takes out the baseline",
    ),
    "zip of one": ("design:", "zip: [¦[batch]]\ndesign:", "zip.0: must be a list with at least 2 entries, not"),
    "zip of unequal": (
        "design:",
        "zip: [¦[posemb, randaug]]\ndesign:",
        "need as many Levels each beside the reference: 'posemb' has 2 and 'randaug' has 1",
    ),
    "zip twice": ("design:", "zip: [[posemb, batch], [randaug, ¦batch]]\ndesign:", "Factor 'batch' is zipped twice"),
    "listed apart": (
        "  original:\n    levels: {posemb: learned, batch: 128}\n    note: Both.\n",
        "  ¦original:\n    levels: {posemb: learned}\nzip: [[posemb, batch]]\n",
        "Variant 'original': posemb, batch are zipped: posemb=learned,batch=128 go together",
    ),
    "listed what is taken out": (
        "  original:\n    levels: {posemb: learned, batch: 128}\n    note: Both.\n",
        "  ¦original:\n    levels: {posemb: learned, batch: 128}\nexclude: [{posemb: learned, batch: [64, 128]}]\n",
        "Variant 'original' is taken out by entry 1 of 'exclude'",
    ),
    "tuned nobody": (
        "design:",
        "analysis: {tuned: {baseline: 3, ¦orignal: 2}}\ndesign:",
        "there is no Variant named 'orignal'; allowed: baseline, posemb=learned, posemb=none, batch=128, batch=64, "
        "randaug=off, original; did you mean 'original'?",
    ),
    "tuned not": ("design:", "analysis: {tuned: {¦original: false}}\ndesign:", "must be a whole number or true, not"),
    "tuned twice": (
        "  original:\n    levels: {posemb: learned, batch: 128}\n    note: Both.\n",
        "  original:\n    levels: {posemb: learned}\nanalysis: {tuned: {original: 2, ¦posemb=learned: 3}}\n",
        "'posemb=learned' is 'original', which is named here already",
    ),
    "margin": ("design:", "analysis: {¦margin: 0}\ndesign:", "analysis.margin: must be greater than 0, not 0"),
    "judged over": ("design:", "analysis: {¦over: images}\ndesign:", "did you mean 'seeds_and_images'?"),
    "profile's analysis": ("    base:\n      sch", "    analysis: {tuned: {¦x: 1}}\n    base:\n      sch", "named 'x'"),
    "profile's design": (
        "    base:\n      sch",
        "    design: {¦pair: {}}\n    base:\n      sch",
        "did you mean 'pairs'?",
    ),
}


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_in_one_line_with_its_place(
    told: Callable[..., None], old: str, new: str, message: str
) -> None:
    """The message begins with file, line and column of the mistake, and no other is told with it."""
    told(old, new, message)
