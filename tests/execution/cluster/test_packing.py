"""Which Trials share a job, whatever the study: held for random studies against the rules, not against the code."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.execution.cluster.packing import batches
from ablate.execution.resources import Resources
from ablate.study.study import Trial

VARIANTS = ("a", "b", "c")


def trial(name, variant="a", needs=()):
    return Trial(name, variant, 0, {}, needs=tuple(needs))


@st.composite
def studies(draw):
    """Trials of three Variants, some of which need earlier or later ones or one from elsewhere, with times."""
    n = draw(st.integers(0, 25))
    order = draw(st.permutations(range(n)))
    needs = {i: draw(st.lists(st.integers(-1, i - 1), max_size=2, unique=True)) if i else [] for i in range(n)}
    made = [trial(f"t{i}", draw(st.sampled_from(VARIANTS)), [f"t{need}" for need in needs[i]]) for i in range(n)]
    seconds = {t.id: draw(st.none() | st.floats(0, 7200)) for t in made if draw(st.booleans())}
    return [made[i] for i in order], seconds


shape = st.builds(dict, time=st.integers(10, 200), job_minutes=st.floats(1, 90), memory_gb=st.integers(1, 2))
shapes = st.fixed_dictionaries(dict.fromkeys(VARIANTS, shape))


def packed(trials, seconds, asked, size=1000):
    requests = {variant: Resources(**fields) for variant, fields in asked.items()}
    return batches(trials, seconds, requests.__getitem__, size)


@settings(max_examples=60, deadline=None)
@given(studies(), shapes, st.integers(1, 5))
def test_every_trial_is_in_exactly_one_pack_of_its_own_request(study, asked, size):
    """Nothing is lost or doubled, no array is too long, and a job asks for what each of its Trials does."""
    trials, seconds = study
    found = packed(trials, seconds, asked, size)
    assert Counter(t.id for b in found for pack in b.packs for t in pack) == Counter(t.id for t in trials)
    for batch in found:
        assert 1 <= len(batch.packs) <= size
        assert all(batch.packs)
        for pack in batch.packs:
            assert all(Resources(**asked[t.variant]) == batch.resources for t in pack)


@settings(max_examples=60, deadline=None)
@given(studies(), shapes, st.integers(1, 5))
def test_order_is_kept_and_pupils_come_after_their_teachers(study, asked, size):
    """Trials of one request and wave stay in their order; a wave's number is above those of all that it needs."""
    trials, seconds = study
    found = packed(trials, seconds, asked, size)
    place = {t.id: i for i, t in enumerate(trials)}
    wave = {t.id: batch.wave for batch in found for pack in batch.packs for t in pack}
    assert [b.wave for b in found] == sorted(b.wave for b in found)
    together = {}
    for batch in found:
        key = (batch.wave, batch.resources.model_dump_json())
        together.setdefault(key, []).extend(place[t.id] for pack in batch.packs for t in pack)
    assert all(places == sorted(places) for places in together.values())
    for t in trials:
        needed = [wave[need] for need in t.needs if need in wave]
        assert wave[t.id] == max(needed, default=-1) + 1


@settings(max_examples=60, deadline=None)
@given(studies(), shapes)
def test_a_job_of_several_trials_fits_its_time(study, asked):
    """Several Trials share a job only where all times are known and their sum is within what the job should take."""
    trials, seconds = study
    for batch in packed(trials, seconds, asked):
        limit = min(batch.resources.job_minutes, 0.8 * batch.resources.time) * 60
        for pack in batch.packs:
            if len(pack) > 1:
                assert all(seconds.get(t.id) is not None for t in pack)
                assert sum(seconds[t.id] for t in pack) <= limit * (1 + 1e-9)


@settings(max_examples=30, deadline=None)
@given(studies(), st.integers(1, 4))
def test_trials_per_job_is_taken_at_its_word(study, per_job):
    """With a number of Trials to a job only the last job of a wave has fewer, whatever is known of times."""
    trials, seconds = study
    for batch in batches(trials, seconds, lambda _: Resources(trials_per_job=per_job), 1000):
        assert all(len(pack) == per_job for pack in batch.packs[:-1])
        assert 1 <= len(batch.packs[-1]) <= per_job


@pytest.mark.parametrize(
    ("seconds", "sizes"),
    [
        ([600, 600, 600, 600], [3, 1]),  # 30 minutes hold three
        ([1900, 10, 10], [1, 2]),  # longer than a job should take, so alone
        ([10, None, 10, 10], [1, 1, 2]),  # nobody knows how long the second takes
        ([0, 0, 0], [3]),
    ],
)
def test_known_times_fill_half_an_hour(seconds, sizes):
    """Without settings a job is filled to 30 minutes."""
    trials = [trial(f"t{i}") for i in range(len(seconds))]
    known = {f"t{i}": s for i, s in enumerate(seconds)}
    (batch,) = batches(trials, known, lambda _: Resources(), 1000)
    assert [len(pack) for pack in batch.packs] == sizes


def test_a_chain_of_a_thousand_teachers_is_no_obstacle():
    """Each pupil of the one before it: as many waves as Trials, without an end of the stack."""
    trials = [trial(f"t{i}", needs=[f"t{i - 1}"] if i else []) for i in range(3000)]
    assert [b.wave for b in batches(trials, {}, lambda _: Resources(), 10)] == list(range(3000))


def test_what_a_variant_asks_for_is_looked_up_once():
    """Thousands of Trials of one Variant cost one look at the settings."""
    asked = []

    def resources_for(variant):
        asked.append(variant)
        return Resources()

    batches([trial(f"t{i}", VARIANTS[i % 3]) for i in range(30)], {}, resources_for, 10)
    assert sorted(asked) == ["a", "b", "c"]
