from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.tracking.journal import Journal, Story, last_row, read
from ablate.tracking.record import Row

metrics = st.dictionaries(st.text(min_size=1, max_size=8), st.floats(), min_size=1, max_size=3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def tell(path: Path, *attempts: list[tuple[int, float]], clean: bool = False) -> Journal:
    """A journal of killed attempts, each a list of (step, loss)."""
    journal = Journal(path)
    for number, rows in enumerate(attempts, start=1):
        journal.begin(number, 1000.0 * number, clean=clean and number == len(attempts))
        for step, loss in rows:
            journal.row(number, step, {"loss": loss}, 1000.0 * number + step, step + 1.0)
    return journal


def curve(path: Path) -> list[tuple[int, float]]:
    return [(row.step, row.metrics["loss"]) for row in read(path).history]


@settings(deadline=None)
@given(st.lists(metrics, max_size=6))
def test_rows_come_back_as_they_were_reported(
    tmp_path_factory: pytest.TempPathFactory, reported: list[dict[str, float]]
):
    """Any floats under any names, newlines and non-finite values included, survive the file."""
    path = tmp_path_factory.mktemp("journal") / "journal"
    journal = Journal(path)
    journal.begin(1, 5.0, clean=False)
    for step, row in enumerate(reported):
        journal.row(1, step, row, 10.0 + step, 1.0 + step)
    expected = tuple(Row(step, row, 10.0 + step) for step, row in enumerate(reported))
    assert repr(read(path).history) == repr(expected)
    assert repr(last_row(path)) == repr(expected[-1] if expected else None)


@settings(deadline=None)
@given(st.data())
def test_a_line_torn_anywhere_costs_that_line_only(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    """Cut after any byte, the journal still tells its whole lines, and can be continued."""
    path = tmp_path_factory.mktemp("journal") / "journal"
    tell(path, [(0, 1.0), (1, 0.5), (2, 0.25)])
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    assert len(read(path).history) == max(0, whole - 1)
    journal = Journal(path)
    journal.begin(2, 9e9, clean=False)
    journal.row(2, 7, {"loss": 0.1}, 9e9, 1.0)
    assert curve(path)[-1] == (7, 0.1)
    assert len(curve(path)) == max(0, whole - 1) + 1


def test_no_journal_is_an_empty_story(path: Path):
    """A Trial that was never started has no attempts and no rows."""
    assert read(path) == Story()
    assert last_row(path) is None


def test_a_resumed_attempt_supersedes_what_it_tells_anew(path: Path):
    """Rows from the step of resumption on are those of the later attempt; earlier ones stay."""
    tell(path, [(0, 1.0), (1, 0.9), (2, 0.8), (3, 0.7)], [(2, 0.5), (3, 0.4)])
    assert curve(path) == [(0, 1.0), (1, 0.9), (2, 0.5), (3, 0.4)]


def test_rows_beyond_the_end_of_the_last_attempt_do_not_linger(path: Path):
    """A resumed attempt that stops earlier leaves no ghost of the one before."""
    tell(path, [(0, 1.0), (1, 0.9), (2, 0.8)], [(1, 0.5)])
    assert curve(path) == [(0, 1.0), (1, 0.5)]


def test_the_same_measurement_keeps_its_time(path: Path):
    """A step that is reported twice with equal values, NaN too, counts once, at the time of the first."""
    nan = float("nan")
    tell(path, [(0, 1.0), (1, nan)], [(1, nan)])
    assert [row.time for row in read(path).history] == [1000.0, 1001.0]


def test_two_reports_of_a_step_in_one_attempt_are_one_row(path: Path):
    """Training and evaluation may report the same step one after the other."""
    journal = tell(path, [(0, 1.0)])
    journal.row(1, 0, {"accuracy": 0.5}, 1002.0, 2.0)
    assert read(path).history == (Row(0, {"loss": 1.0, "accuracy": 0.5}, 1002.0),)


def test_a_clean_start_forgets_earlier_rows_but_not_earlier_time(path: Path):
    """After a divergence the curve begins anew; the seconds spent still count."""
    tell(path, [(0, 1.0), (1, 9e9)], [(0, 0.5)], clean=True)
    assert curve(path) == [(0, 0.5)]
    assert read(path).seconds == 2.0 + 1.0


def test_an_orphans_late_row_does_not_count(path: Path):
    """Once another attempt has begun, rows of the one before are ignored."""
    journal = tell(path, [(0, 1.0)], [(1, 0.5)])
    journal.row(1, 2, {"loss": 77.0}, 9999.0, 1.0)
    assert curve(path) == [(0, 1.0), (1, 0.5)]


def test_seconds_and_attempts_are_counted_without_the_dead_ones_help(path: Path):
    """Killed attempts count up to their last row, ended ones up to their end."""
    journal = tell(path, [(0, 1.0), (3, 1.0)], [(4, 1.0)])
    assert (read(path).attempts, read(path).seconds) == (2, 4.0 + 5.0)
    journal.begin(3, 3000.0, clean=False)
    journal.end(3, "interrupted", 3010.0, 10.0)
    assert (read(path).attempts, read(path).seconds) == (3, 19.0)


def test_the_last_row_is_found_behind_long_ends(path: Path):
    """It is found though it is longer than a block and lines of another kind follow it."""
    journal = tell(path, [(0, 1.0)])
    long = {f"metric {i:05d}": float(i) for i in range(3000)}
    journal.row(1, 1, long, 5.0, 2.0)
    journal.end(1, "interrupted", 6.0, 3.0)
    assert last_row(path) == Row(1, long, 5.0)


def test_an_attempt_that_says_late_that_it_begins_does_not_take_over_again(path: Path):
    """Two processes may take over one after the other and write the other way round: the later attempt counts."""
    journal = tell(path, [(0, 1.0)])
    journal.begin(3, 3000.0, clean=False)
    journal.row(3, 1, {"loss": 0.5}, 3001.0, 1.0)
    journal.begin(2, 2000.0, clean=True)
    journal.row(2, 0, {"loss": 77.0}, 2001.0, 1.0)
    journal.row(3, 2, {"loss": 0.25}, 3002.0, 2.0)
    assert curve(path) == [(0, 1.0), (1, 0.5), (2, 0.25)]
    assert read(path).attempts == 3


def test_an_orphans_end_is_not_the_end(path: Path):
    """Once another attempt has begun, how the one before it ends changes nothing: both died."""
    journal = tell(path, [(0, 1.0)], [(0, 1.0)])
    journal.end(1, "failed", 9999.0, 5.0)
    assert read(path).deaths == 2


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 5), max_size=3), st.sampled_from([None, "interrupted", "failed"])),
        max_size=6,
    )
)
def test_deaths_are_counted_back_to_the_last_end_or_progress(
    tmp_path_factory: pytest.TempPathFactory, lives: list[tuple[list[int], str | None]]
):
    """As many as died since one ended by itself or got further than all before it, which is the first of them."""
    path = tmp_path_factory.mktemp("journal") / "journal"
    journal = Journal(path)
    for number, (steps, end) in enumerate(lives, start=1):
        journal.begin(number, 1.0, clean=False)
        for step in sorted(steps):
            journal.row(number, step, {"loss": 1.0}, 1.0, 1.0)
        if end is not None:
            journal.end(number, end, 1.0, 1.0)  # type: ignore[arg-type]
    expected = 0
    for index in reversed(range(len(lives))):
        steps, end = lives[index]
        if end is not None:
            break
        expected += 1
        if steps and max(steps) > max((step for before, _ in lives[:index] for step in before), default=-1):
            break
    assert read(path).deaths == expected


def test_after_a_clean_start_progress_begins_anew(path: Path):
    """What was reached before a divergence is forgotten."""
    journal = tell(path, [(9, 1.0)])
    journal.end(1, "failed", 1010.0, 1.0)
    for number, top in ((2, 1), (3, 1), (4, 2)):
        journal.begin(number, 1000.0 * number, clean=number == 2)
        journal.row(number, top, {"loss": 1.0}, 1000.0 * number, 1.0)
    assert read(path).deaths == 1
