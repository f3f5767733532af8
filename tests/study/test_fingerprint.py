"""Fingerprints of data: what is there counts, when it was touched does not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ablate.study.fingerprint import ABSENT, PACKAGED, fingerprint


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of classes with three files."""
    root = tmp_path / "images"
    for name in ("train/cat/1.png", "train/dog/2.png", "val/cat/3.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def _of(root: Path, cache: Path | None = None) -> str:
    return fingerprint(f"imagefolder:{root}", root, cache)


def test_adding_renaming_resizing_and_removing_change_it(images: Path) -> None:
    """Each gives another fingerprint, and undoing all of it the first."""
    seen = [_of(images)]
    (images / "train/cat/4.png").write_bytes(b"4")
    seen.append(_of(images))
    (images / "train/cat/4.png").rename(images / "train/dog/4.png")
    seen.append(_of(images))
    (images / "train/dog/4.png").write_bytes(b"44")
    seen.append(_of(images))
    (images / "val/cat/3.png").unlink()
    seen.append(_of(images))
    assert len(set(seen)) == len(seen)
    (images / "train/dog/4.png").unlink()
    (images / "val/cat/3.png").write_bytes(b"val/cat/3.png")
    assert _of(images) == seen[0]


def test_times_and_places_do_not_count(images: Path, tmp_path: Path) -> None:
    """Touched, or moved as a whole, the data are the same."""
    before = _of(images)
    os.utime(images / "train/cat/1.png", (1, 1))
    os.utime(images / "train", (1, 1))
    assert _of(images) == before
    assert _of(images.rename(tmp_path / "elsewhere")) == before


def test_hidden_files_do_not_count(images: Path) -> None:
    """What a desktop or a network file system leaves behind is no data."""
    before = _of(images)
    (images / "train/.DS_Store").write_bytes(b"x")
    (images / ".cache").mkdir()
    (images / ".cache/x.png").write_bytes(b"x")
    assert _of(images) == before


def test_links_are_followed_and_may_lead_back(images: Path, tmp_path: Path) -> None:
    """Data sets are often folders of links; a loop ends, and a broken link is not an error."""
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("train", "val"):
        (linked / name).symlink_to(images / name)
    assert _of(linked) == _of(images)
    before = _of(images)
    (images / "train/back").symlink_to(images)
    assert _of(images) == before
    (images / "train/gone.png").symlink_to(images / "nowhere.png")
    assert _of(images) != before


def test_the_cache_answers_until_a_folder_changes(images: Path, tmp_path: Path) -> None:
    """While no folder changed, the digest kept is the answer; afterwards it is taken anew and kept."""
    cache = tmp_path / "fingerprints.json"
    first = _of(images, cache)
    kept = json.loads(cache.read_text())
    kept[str(images)]["digest"] = "from the cache"
    cache.write_text(json.dumps(kept))
    assert _of(images, cache) == "from the cache"
    (images / "train/cat/4.png").write_bytes(b"4")
    assert _of(images, cache) == _of(images) != first


@pytest.mark.parametrize("content", ["", "{", "[]", '{"ROOT": 3}', '{"ROOT": {"stamp": 1}}'])
def test_a_torn_cache_is_written_anew(images: Path, tmp_path: Path, content: str) -> None:
    """It only saves time: whatever is in it, the fingerprint is right."""
    cache = tmp_path / "fingerprints.json"
    cache.write_text(content.replace("ROOT", str(images)))
    assert _of(images, cache) == _of(images)
    assert json.loads(cache.read_text())[str(images)]["digest"] == _of(images)


def test_a_cache_that_cannot_be_written_is_done_without(images: Path, tmp_path: Path) -> None:
    """A folder in its place, or none above it, is not an error."""
    (tmp_path / "taken.json").mkdir()
    assert _of(images, tmp_path / "taken.json") == _of(images)
    assert _of(images, tmp_path / "none" / "cache.json") == _of(images)


def test_a_folder_that_is_not_here_is_absent(tmp_path: Path) -> None:
    """Such a study can be planned."""
    assert _of(tmp_path / "nowhere") == ABSENT


@pytest.mark.parametrize("source", PACKAGED)
def test_packaged_data_are_here_and_differ(source: str) -> None:
    """Each is a digest of its file, and no two are one."""
    found = fingerprint(source, None)
    assert len(found) == 16
    assert [fingerprint(other, None) == found for other in PACKAGED].count(True) == 1
