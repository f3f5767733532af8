"""What may be named before results have made it: rungs of a greedy ladder, and controls of matched capacity."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.study.errors import StudyError
from ablate.study.study import Growth, ResolvedRecipe, Study

Cross = Callable[..., Study]
LOADING = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
GREEDY = "design: {ladder: {order: greedy, steps: [a=high, b=high, d=high]}}\n"
TUNED = "analysis:\n  tuned:\n    baseline: 3\n    "
NUMBERS = "published: {{file: own.csv, rows: {{baseline: ours, '{0}': theirs}}}}\nprofile: paper\n"
NUMBERS += "profiles: {{paper: {{published: [{{label: Table 1, where: {{}}}}]}}}}\n"


@pytest.fixture
def numbers(folder: Path) -> Path:
    """Published numbers, of the baseline and of one other."""
    path = folder / "own.csv"
    path.write_text("variant,value,source\nours,76.5,a paper\ntheirs,78.25,a paper\n")
    return path


def place(error: StudyError) -> tuple[int, int]:
    [problem] = error.problems
    return problem.line, problem.column


def names(study: Study) -> set[str]:
    return {variant.name for variant in study.variants}


def test_a_rung_that_is_not_reached_may_be_named(cross: Cross, numbers: Path) -> None:
    """Its count of settings and its published number wait for it, and stand beside it once the ladder is there."""
    text = GREEDY + NUMBERS.format("a=high,d=high") + TUNED + "a=high,d=high: 5\n"
    study = cross(text)
    assert "a=high,d=high" not in {variant.name for variant in study.variants}
    grown = cross(text, growth=Growth(rungs={0: ("d=high",)}))
    assert "a=high,d=high" in {variant.name for variant in grown.variants}
    for found in (study, grown):
        assert dict(found.analysis.tuned) == {"baseline": 3, "a=high,d=high": 5}
        assert dict(found.published[0].values) == {"baseline": 76.5, "a=high,d=high": 78.25}


def test_a_column_appears_with_its_first_number(cross: Cross, numbers: Path) -> None:
    """One that has numbers of rungs alone to which the ladder has not got is not there, nor where none is chosen."""
    text = GREEDY + NUMBERS.format("a=high,d=high").replace("baseline: ours, ", "")
    assert cross(text).published == ()
    growth = Growth(rungs={0: ("d=high",)})
    assert dict(cross(text, growth=growth).published[0].values) == {"a=high,d=high": 78.25}
    assert cross(text, growth=growth, only=["a=high"]).published == ()


@pytest.mark.parametrize("name", ["a=high,c=high", "a=hgh,b=high", "b=high,a=high"])
def test_a_rung_that_no_ladder_has_is_told(cross: Cross, numbers: Path, name: str) -> None:
    """Not every combination of Levels is one of the ladder's steps: file, line, allowed names and the nearest one."""
    for text in (GREEDY + TUNED + f"{name}: 5\n", GREEDY + NUMBERS.format(name)):
        with pytest.raises(StudyError, match=rf"no Variant named '{name}'; allowed: baseline, a=high, .*did you") as e:
            cross(text)
        assert e.value.problems[0].path is not None
        line, column = place(e.value)
        assert name in e.value.problems[0].path.read_text().splitlines()[line - 1][column - 1 :][: len(name) + 2]


def test_rungs_that_constraints_forbid_cannot_be_named(cross: Cross) -> None:
    """Where a and b are never together, no ladder gets there."""
    rule = "exclude: [{a: high, b: high}]\n"
    assert cross(GREEDY + rule + TUNED + "b=high,d=high: 5\n").analysis.tuned["b=high,d=high"] == 5
    with pytest.raises(StudyError, match="no Variant named 'a=high,b=high,d=high'"):
        cross(GREEDY + rule + TUNED + "a=high,b=high,d=high: 5\n")


def test_a_ladder_of_a_given_order_has_its_own_rungs_alone(cross: Cross) -> None:
    """What it does not reach, it never will."""
    with pytest.raises(StudyError, match="no Variant named 'a=high,d=high'"):
        cross(GREEDY.replace("greedy", "given") + TUNED + "a=high,d=high: 5\n")


def test_a_rung_that_the_list_has_answers_to_both_names(cross: Cross) -> None:
    """Before the ladder gets there, too: the number belongs to the Recipe, which is trained already."""
    listed = "variants: {both: {levels: {a: high, b: high}}}\n"
    assert dict(cross(GREEDY + listed + TUNED + "a=high,b=high: 5\n").analysis.tuned) == {"baseline": 3, "both": 5}
    chosen = cross(GREEDY + listed, only=["a=high,b=high"])
    assert [variant.name for variant in chosen.variants] == ["baseline", "both"]
    with pytest.raises(StudyError, match="'a=high,b=high' is 'both', which is named here already"):
        cross(GREEDY + listed + TUNED + "both: 5\n    a=high,b=high: 5\n")


def test_a_selection_takes_rungs_that_results_have_led_to(cross: Cross) -> None:
    """`led_to` is asked about the whole study, and only where there is a ladder to be led."""
    asked: list[Study] = []

    def led_to(whole: Study) -> Growth:
        asked.append(whole)
        return Growth(rungs={0: ("b=high",)}, seeds={"baseline": 7})

    part = cross(GREEDY, only=["*b=high*"], led_to=led_to)
    assert [v.name for v in part.variants] == ["baseline", "b=high", "a=high,b=high", "b=high,d=high"]
    assert [whole.selection for whole in asked] == [""]
    assert part.growth.seeds == {}
    with pytest.raises(StudyError, match="--only a=high,d=high: a greedy ladder could reach this rung, but no result"):
        cross(GREEDY, only=["a=high,d=high"], led_to=led_to)
    cross(GREEDY.replace("greedy", "given"), only=["a=high"], led_to=lambda _: pytest.fail("asked"))


@LOADING
@given(
    steps=st.lists(
        st.sampled_from(["a=high", "b=high", "c=middle", "c=high", "d=high", "[a=high, c=middle]"]),
        min_size=2, max_size=4, unique=True,
    ),
    backward=st.booleans(),
    exclude=st.sampled_from(["", "exclude: [{a: high, b: high}]\n", "exclude: [{c: high, d: low}]\n"]),
)  # fmt: skip
def test_what_may_be_named_is_what_can_be_grown(cross: Cross, steps: list[str], backward: bool, exclude: str) -> None:
    """Names of Variants and of rungs ahead are those that the study gets when steps are chosen in all orders."""
    direction = "backward" if backward else "forward"
    ladder = f"{{order: greedy, direction: {direction}, steps: [{', '.join(steps)}]}}"
    study = cross(f"design: {{ladder: {ladder}}}\n{'' if backward else exclude}")  # which may forbid the foot
    assert study.regrow is not None
    reached, texts = {v.name for v in study.variants}, [s.strip("[]").replace(", ", ",") for s in steps]
    for order in itertools.permutations(texts):
        for count in range(1, len(order)):
            try:
                grown = study.regrow(Growth(rungs={0: order[:count]}))
            except ValueError:  # no step that the ladder could take there
                break
            reached |= {v.name for v in grown.variants}
    assert study.possible is not None
    assert {trial.variant for trial in study.possible()} == reached


STEPS = 16
MANY = "study: s\nquestion: q\ntrainable: crossed:train\nmetric: {name: m, direction: maximize}\nseeds: 1\nbase: {"
MANY += ", ".join(f"f{i}: 0" for i in range(STEPS)) + "}\nfactors:\n"
MANY += "".join(f"  f{i}: {{reference: a, levels: {{b: {{f{i}: 1}}}}}}\n" for i in range(STEPS))
CLIMBED = "design: {ladder: {order: greedy}}\n"
TOP = ",".join(f"f{i}=b" for i in range(STEPS))


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_any_rung_of_a_long_ladder_may_be_named(cross: Cross, numbers: Path, direction: str) -> None:
    """Of 2^16 rungs the top and one in the middle, whether or not a constraint bears on them."""
    ladder = f"design: {{ladder: {{order: greedy, direction: {direction}}}}}\n"
    half = ",".join(f"f{i}=b" for i in range(0, STEPS, 2))
    for rule in ("", "only_if: [{levels: {f2: b}, requires: {f4: b}}]\n"):
        study = cross(ladder + rule + NUMBERS.format(TOP) + TUNED + f"'{half}': 5\n", base=MANY)
        assert dict(study.analysis.tuned) == {"baseline": 3, half: 5}
        assert dict(study.published[0].values) == {"baseline": 76.5, TOP: 78.25}
        assert (TOP in names(study)) == (direction == "backward")  # which begins there


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_steps_of_several_levels_are_taken_whole(cross: Cross, direction: str) -> None:
    """Of zipped Factors and of one step's, no rung has a part; the nearest name is told."""
    steps = "[[a=high, b=high], [c=high, d=high], c=middle, e=high]"
    text = "  e: {reference: low, levels: {high: {e: 1}}}\nzip: [[a, b]]\n"
    text += f"design: {{ladder: {{order: greedy, direction: {direction}, steps: {steps}}}}}\n"
    for name in ("a=high,b=high,e=high", "c=high,d=high,e=high", "a=high,b=high,c=middle,e=high"):
        assert cross(text + TUNED + f"{name}: 5\n").analysis.tuned[name] == 5
    for name in ("a=high,e=high", "c=high,e=high", "a=high,b=high,c=high"):
        with pytest.raises(StudyError, match=f"no Variant named '{name}'; .*; did you mean"):
            cross(text + TUNED + f"{name}: 5\n")


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("f0=b,f1=b,f2=b,f3=b,f4=b,f5=b,f6=b,f7=b,f8=b,f9=c", "f0=b,f1=b,f2=b,f3=b,f4=b,f5=b,f6=b,f7=b,f8=b,f9=b"),
        ("f1=b,f0=b", "f0=b,f1=b"),
        ("f12=b, f3=a", "f12=b"),
        ("f0=b,f0=b", None),
        ("f0=b,f?=c", None),
        ("zzz", None),
    ],
)
@pytest.mark.parametrize("design", [CLIMBED, "design: factorial\n"])
def test_a_long_name_is_corrected_part_by_part(cross: Cross, design: str, asked: str, meant: str | None) -> None:
    """Of 2^16 names, none is told that is near as a whole alone."""
    with pytest.raises(StudyError) as error:
        cross(design, base=MANY, only=[asked])
    hint = str(error.value).rpartition(" in all)")[2]
    assert hint == ("" if meant is None else f"; did you mean {meant!r}?")


def test_a_listed_name_is_corrected_beside_a_long_ladder(cross: Cross) -> None:
    """Names of rungs ahead are many, but none of them is like it."""
    with pytest.raises(StudyError, match=r"more than 2,0\d\d in all\); did you mean 'mine'"):
        cross(CLIMBED + "variants: {mine: {levels: {f0: b}}}\n", base=MANY, only=["mien"])


def test_two_names_of_one_recipe_ahead_are_one(cross: Cross) -> None:
    """Where a Level does what two others do together, neither of the rungs is there yet."""
    shared = "  f: {reference: low, levels: {high: {a: 1, b: 1}}}\ndesign: {ladder: {order: greedy, steps: [a=high, "
    text = shared + "b=high, d=high, f=high]}}\n" + TUNED + "a=high,b=high,d=high: 5\n    "
    assert cross(text).analysis.tuned["a=high,b=high,d=high"] == 5
    with pytest.raises(StudyError, match="'d=high,f=high' is 'a=high,b=high,d=high', which is named here already"):
        cross(text + "d=high,f=high: 5\n")


@pytest.mark.parametrize(
    ("pattern", "further", "is_told"),
    [
        ("a=high*", "", True),  # a=high is there, and a=high,b=high is a rung that may come
        ("?=high", "", False),  # the candidates for the first rung
        ("a=high", "", False),
        ("a=high*", "factorial: {factors: [a, b, d]}", False),  # all there, whatever results choose
    ],
)
def test_a_pattern_that_results_decide_is_told(cross: Cross, pattern: str, further: str, is_told: bool) -> None:
    """The selection says that it has the rungs which results have led to, in the same words before and after."""
    text = f"design: [{{ladder: {{order: greedy, steps: [a=high, b=high, d=high]}}}}{further and f', {{{further}}}'}]\n"
    expected = f"--only {pattern}" + ("; rungs as far as results here have led" if is_told else "")
    assert cross(text, only=[pattern]).selection == expected
    assert cross(text, only=[pattern], growth=Growth(rungs={0: ("b=high", "a=high")})).selection == expected


def test_a_ladder_of_a_given_order_needs_no_such_words(cross: Cross) -> None:
    """Its rungs are the same everywhere."""
    assert cross(GREEDY.replace("greedy", "given"), only=["a=high*"]).selection == "--only a=high*"


def deep(recipe: ResolvedRecipe) -> int:
    """Parameters that grow with depth and width alone."""
    return int(recipe["model"]["depth"] * recipe["model"]["dim"] ** 2)


CONTROLLED = ("  randaug:\n", "  depth: {reference: 2, levels: {4: {model.depth: 4}}}\n  randaug:\n")
WIDE = ("dim: 16", "dim: 128")


@pytest.fixture
def controlled(load: Callable[..., Study], example: str, folder: Path) -> Callable[..., Study]:
    """The example with a Factor that changes the size, controls, and a row that names one."""
    path = folder / "numbers.csv"
    path.write_text(path.read_text() + "theirs,90,74.5,Table 1\n")

    def load_with(name: str, tuned: str = "", **options: object) -> Study:
        text = example.replace(*CONTROLLED).replace(*WIDE)
        text = text.replace("    posemb=learned: learned posemb\n", f"    '{name}': theirs\n").replace("base: base", "")
        text = text.replace("      - {label: Rerun, where: {epochs: 91}, rows: {baseline: base}}\n", "")
        assert "Rerun" not in text
        analysis = f"analysis: {{tuned: {{'{tuned}': 2}}}}\n" if tuned else ""
        return load(f"match_parameters: model.dim\n{analysis}{text}", "paper", count=deep, **options)

    return load_with


def test_a_control_may_be_named(controlled: Callable[..., Study]) -> None:
    """A published row and a count of settings can be a control's."""
    study = controlled("depth=4@matched", tuned="depth=4@matched")
    assert "depth=4@matched" in {variant.name for variant in study.variants}
    assert study.published[0].values["depth=4@matched"] == 74.5
    assert dict(study.analysis.tuned) == {"depth=4@matched": 2}


def test_a_control_of_what_is_not_chosen_may_be_named(controlled: Callable[..., Study]) -> None:
    """A selection without it keeps the number, which is shown nowhere."""
    study = controlled("depth=4@matched", tuned="depth=4@matched", only=["posemb=*"])
    assert "depth=4@matched" not in {variant.name for variant in study.variants}
    assert study.published[0].values["depth=4@matched"] == 74.5


def test_a_control_that_is_not_there_is_told_with_the_reason(controlled: Callable[..., Study]) -> None:
    """Of a Variant as large as the baseline there is none; of one that does not exist the nearest is told."""
    message = r"no Variant named 'posemb=none@matched'; 'posemb=none' has no control: its model has as many parameters"
    with pytest.raises(StudyError, match=message):
        controlled("posemb=none@matched")
    with pytest.raises(StudyError, match=r"no Variant named 'depth=5@matched'; .*did you mean 'depth=4@matched'"):
        controlled("depth=5@matched")
    with pytest.raises(StudyError, match=r"--only depth=5@matched: there is .*; did you mean 'depth=4@matched'\?$"):
        controlled("depth=4@matched", only=["depth=5@matched"])
