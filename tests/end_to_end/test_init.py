"""`ablate init`: a starter study that runs as it is."""

from __future__ import annotations


def test_the_starter_plans_and_runs(place):
    """What init writes can be planned and run without an edit."""
    said = place.ablate("init").out
    assert "study.yaml" in said
    plan = place.plan("study.yaml")
    assert len(plan["variants"]) >= 3
    short = ["--seeds", 1, "--only", "baseline", "--set", "schedule.epochs=1", "--set", "schedule.warmup_steps=2"]
    assert place.ablate("run", "study.yaml", "--quiet", *short).counts == (1, 0, 0)


def test_init_does_not_overwrite(place):
    """A file that exists stays as it is, and the exit code is 2."""
    place.write("mine.yaml", "study: mine\n")
    done = place.ablate("init", "mine.yaml", code=2)
    assert "mine.yaml" in done.err
    assert (place.root / "mine.yaml").read_text() == "study: mine\n"
