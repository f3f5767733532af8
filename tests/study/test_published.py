"""Published numbers stand beside the Variants they belong to, or it is told why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.study.errors import StudyError
from ablate.study.study import Study

Loader = Callable[..., Study]


def test_columns_are_read_with_their_sources(load: Loader) -> None:
    """Each column has its rows of the file, and says where they come from."""
    table, rerun = load(profile="paper").published
    assert (table.label, dict(table.values), table.source) == (
        "Table 1",
        {"baseline": 76.5, "posemb=learned": 75.0},
        "Table 1",
    )
    assert (rerun.label, rerun.source) == ("Rerun", "a rerun")


def test_a_column_may_call_a_row_otherwise(load: Loader) -> None:
    """A column's own `rows` go before the study's, and add to them."""
    assert dict(load(profile="paper").published[1].values) == {"baseline": 76.8, "posemb=learned": 76.2}


def test_a_row_that_a_column_lacks_is_left_empty(load: Loader, folder: Path) -> None:
    """Not every table has every row, as long as the file has it somewhere."""
    numbers = folder / "numbers.csv"
    numbers.write_text(numbers.read_text().replace("learned posemb,90", "learned posemb,92"))
    assert dict(load(profile="paper").published[0].values) == {"baseline": 76.5}


def test_numbers_keep_the_digits_of_the_file(load: Loader) -> None:
    """75.0 is not 75: the text goes with the value, Variant by Variant."""
    for column in load(profile="paper").published:
        assert {name: float(text) for name, text in column.texts.items()} == dict(column.values)
    assert load(profile="paper").published[0].texts["posemb=learned"] == "75.0"


def test_rough_numbers_are_told_from_exact_ones(load: Loader, folder: Path) -> None:
    """Where the file has a column `approximate`, yes puts `≈` before the number, and no or nothing does not."""
    path = folder / "numbers.csv"
    head, first, second, *rest = path.read_text().splitlines()
    lines = [head + ",approximate", first + ",yes", second + ",no", *(line + "," for line in rest)]
    path.write_text("\n".join(lines) + "\n")
    table = load(profile="paper").published[0]
    assert dict(table.texts) == {"baseline": "≈ 76.5", "posemb=learned": "75.0"}
    assert dict(table.values) == {"baseline": 76.5, "posemb=learned": 75.0}
    path.write_text(path.read_text().replace(",yes", ",maybe"))
    with pytest.raises(StudyError, match="of row 'ours' in the file is neither yes nor no: 'maybe'"):
        load(profile="paper")


def test_a_profile_without_columns_needs_no_file(load: Loader, folder: Path) -> None:
    """Numbers hold at their own scale and at no other."""
    (folder / "numbers.csv").unlink()
    assert load(profile="small").published == ()


#: What is replaced in the study, by what, and what is told; `¦` stands before the place.
MISTAKES = {
    "file": ("file: numbers.csv", "¦file: nmbers.csv", "there is no file 'nmbers.csv' beside the study"),
    "file is a folder": ("file: numbers.csv", "¦file: .", "there is no file '.'"),
    "variant": (
        "posemb=learned: learned",
        "¦posemb=lerned: learned",
        "no Variant named 'posemb=lerned'; allowed: base",
    ),
    "label": ("baseline: ours", "¦baseline: our", "'numbers.csv' has no row 'our'; did you mean 'ours'?"),
    "label of a column": (
        "rows: {baseline: base}",
        "rows: {¦baseline: bass}",
        "has no row 'bass'; did you mean 'base'?",
    ),
    "label not of this column": (
        "rows: {baseline: base}",
        "rows: {¦baseline: ours}",
        "no row 'ours' of the file is in",
    ),
    "column of the file": ("where: {epochs: 90}", "where: {¦epoch: 90}", "has no column 'epoch'; allowed: variant, ep"),
    "value of the column": (
        "- {label: Table 1, where: {epochs: 90}}",
        "- ¦{label: T, where: {epochs: 9}}",
        "no row of",
    ),
    "several rows": ("- {label: Table 1, where: {epochs: 90}}", "- ¦{label: T, where: {}}", "2 rows of the file are"),
}


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_with_its_place(
    example: str, load: Loader, folder: Path, old: str, new: str, message: str
) -> None:
    """Files, rows and columns that do not exist are told where the study names them."""
    assert old in example
    text = example.replace(old, new, 1)
    before = text.partition("¦")[0]
    place = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    with pytest.raises(StudyError) as caught:
        load(text.replace("¦", ""), "paper")
    told = str(caught.value)
    assert message in told
    assert told.startswith(f"{folder / 'study.yaml'}:{place}: ")
    assert "\n" not in told


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (b"", "has no column 'variant'"),
        (
            b"variant,epochs,vlue,source\nours,90,1,x\n",
            "has no column 'value'; it has variant, epochs, vlue, source; did",
        ),
        (b"variant,epochs,value,source\nours,90,many,x\nlearned posemb,90,1,x\nbase,91,2,x\n", "is no number: 'many'"),
        (b"variant,epochs,value,source\nours,90,nan,x\nlearned posemb,90,1,x\nbase,91,2,x\n", "is no number: 'nan'"),
        (b"variant,epochs,value,source\nours,90\nlearned posemb,90,1,x\nbase,91,2,x\n", "is no number: None"),
        (b"variant,epochs,value,source\n\xff,90,1,x\n", "cannot read the published numbers"),
    ],
)
def test_a_file_that_is_no_table_of_numbers_is_told(load: Loader, folder: Path, numbers: bytes, message: str) -> None:
    """Missing columns, text for numbers and bytes that are no text end in a StudyError."""
    (folder / "numbers.csv").write_bytes(numbers)
    with pytest.raises(StudyError) as caught:
        load(profile="paper")
    assert message in str(caught.value)


def test_numbers_need_a_section_that_says_where_they_are(example: str, load: Loader) -> None:
    """A profile's columns without the study's `published` are told."""
    section = example[example.index("published:\n") : example.index("profiles:\n")]
    with pytest.raises(StudyError, match="the study has no 'published' section"):
        load(example.replace(section, ""), "paper")
