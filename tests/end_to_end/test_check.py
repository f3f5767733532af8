"""`ablate check`, by itself and within `ablate run`; and `ablate attention` on what a run has trained."""

from __future__ import annotations

import json

import pytest
from PIL import Image

IDLE = "      cls: {model.readout: cls}\n      idle: {model.position_covers: all}\n"


@pytest.fixture
def idle(tiny):
    """A study with a Level that changes nothing: without a class token, all tokens are patches."""
    assert "      cls: {model.readout: cls}\n" in tiny
    return tiny.replace("      cls: {model.readout: cls}\n", IDLE)


def test_a_level_without_effect_stops_a_run_before_it_trains(place, idle):
    """Exit code 2, both sides on the screen, nothing in the spool; --no-check trains all the same."""
    place.write("study.yaml", idle)
    refused = place.ablate("run", "study.yaml", code=2)
    assert "readout=idle: no effect" in refused.err
    assert "model.position_covers: patches → all" in refused.err
    assert place.results() == {}
    trained = place.ablate("run", "study.yaml", "--no-check", "--seeds", "1", "-q")
    assert trained.out.splitlines()[-1] == "trained 4, reused 0, failed 0"


def test_the_check_is_told_to_people_and_to_programs(place, idle, tiny):
    """A table and exit code 2 for the Level without effect; JSON; and 0 where each Level does what it says."""
    place.write("study.yaml", idle)
    told = place.ablate("check", "study.yaml", code=2).out
    assert "readout=idle" in told
    assert "1 of 3 Variants in error" in told
    plain = json.loads(place.ablate("check", "study.yaml", "--json", code=2).out)
    assert {v["variant"]: v["status"] for v in plain["variants"]} == {
        "position=none": "ok",
        "readout=cls": "ok",
        "readout=idle": "no effect",
    }
    place.write("study.yaml", tiny)
    assert "2 Variants checked, each does what it says" in place.ablate("check", "study.yaml").out


def test_attention_of_a_trained_trial_is_drawn(place, tiny):
    """A held-out image and a file of another size and mode; a wrong id and a wrong image are one line each."""
    place.write("study.yaml", tiny)
    place.ablate("run", "study.yaml", "--only", "readout=*", "--seeds", "1", "-q")
    (trial, *_) = sorted(place.results())
    Image.new("RGB", (40, 30), (200, 30, 30)).save(place.root / "red.png")
    pictures = place.ablate("attention", trial[:10], "test:3", "red.png", "--show", "both").out.splitlines()
    assert len(pictures) == 2
    for picture in pictures:
        with Image.open(place.root / picture) as image:
            assert image.convert("L").getextrema()[0] < image.convert("L").getextrema()[1]
    for arguments in (["0" * 16, "test:3"], [trial, "test:99999"], [trial, "nowhere.png"]):
        wrong = place.ablate("attention", *arguments, code=2)
        assert len(wrong.err.splitlines()) == 1
