"""A user's mistake is one message with its place, exit code 2, and nothing written."""

from __future__ import annotations

import pytest

#: What is replaced, by what (with `¦` before the place that is told), a piece of the message.
MISTAKES = {
    "unknown key": ("question:", "¦qestion:", "unknown key 'qestion'; allowed: study, question"),
    "misspelt field": ("    dim: 16", "    ¦dmi: 16", "unknown key 'dmi' in 'model'; allowed: dim"),
    "misspelt part": ("    readout: gap", "    ¦readout: gpa", "did you mean 'gap'?"),
    "wrong type": ("    epochs: 2", "    ¦epochs: two", "schedule.epochs: must be a whole number, not 'two'"),
    "no such field in a Level": ("{model.position: none}", "{¦model.positon: none}", "did you mean 'position'?"),
    "Level equal to the reference": ("none: {model.position: none}", "¦none: {model.position: sincos2d}", "nothing"),
    "duplicate key": ("seeds: [0, 1]\n", "seeds: [0, 1]\n¦seeds: [2, 3]\n", "'seeds'"),
    "seeds that cannot grow": ("seeds: [0, 1]", "¦seeds: {min: 3, max: 2}", "max must be more than min"),
    "unknown profile in the file": ("seeds: [0, 1]", "seeds: [0, 1]\n¦profile: longr", "did you mean 'longer'?"),
    "seed twice": ("seeds: [0, 1]", "seeds: [0, ¦0]", "seed 0 is given twice"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_nothing_is_written(mistake, place, tiny):
    """`ablate run` names file, line and column on standard error, exits with 2, and leaves the folder as it was."""
    old, new, message = MISTAKES[mistake]
    assert tiny.count(old) == 1
    marked = tiny.replace(old, new)
    if "¦" in marked:
        before = marked[: marked.index("¦")]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    place.write("study.yaml", marked.replace("¦", ""))
    done = place.ablate("run", "study.yaml", code=2)
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith(f"study.yaml:{line}:{column}: "), done.err
    assert message in done.err
    assert [p.name for p in place.root.iterdir()] == ["study.yaml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "tiny.yaml", "--profile", "longr"], "did you mean 'longer'?"),
        (["run", "tiny.yaml", "--only", "positon=*"], "there is no such Variant"),
        (["run", "tiny.yaml", "--set", "model.dmi=3"], "did you mean 'dim'?"),
        (["run", "tiny.yaml", "--seeds", "0"], "--seeds"),
        (["run", "tiny.yaml", "--seeds", "3"], "the study lists 2 seeds"),
        (["run", "tiny.yaml", "--slots", "0"], "--slots"),
        (["plan", "nothing.yaml"], "nothing.yaml"),
        (["train", "tiny.yaml"], "train"),
    ],
    ids=" ".join,
)
def test_a_mistake_on_the_command_line_exits_with_2(arguments, message, place, tiny):
    """Options and names that do not exist are told on standard error; nothing is written, there is no traceback."""
    place.write("tiny.yaml", tiny)
    done = place.ablate(*arguments, code=2)
    assert done.out == ""
    assert message in done.err
    assert "Traceback" not in done.err
    assert [p.name for p in place.root.iterdir()] == ["tiny.yaml"]


def test_yaml_means_what_it_says(place, tiny):
    """`1e-3` is a number and `off` is the word, as in YAML 1.2, in the base and on the command line."""
    place.write("tiny.yaml", tiny)
    plan = place.plan("tiny.yaml", "--full", "--set", "augment.randaug=off", "--set", "optimizer.weight_decay=1e-2")
    recipe = plan["variants"][0]["recipe"]
    assert recipe["optimizer"]["learning_rate"] == 0.001
    assert recipe["optimizer"]["weight_decay"] == 0.01
    assert recipe["augment"]["randaug"] == "off"
    assert recipe["augment"]["crop"] == "off"
