"""The verb `attention`, on Trials in a real spool: a trained one, and some with the weights they started from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image

from ablate.attention import draw_attention
from ablate.data.batches import eval_batches
from ablate.data.sources import load
from ablate.models.build import make_model
from ablate.recipe import Recipe
from ablate.study.study import VISION, Trial
from ablate.tracking.claim import Claim
from ablate.tracking.spool import Spool
from ablate.trained import load_trained
from ablate.training.state import archive
from ablate.training.vision import train

MODEL: dict[str, Any] = {
    "dim": 16,
    "depth": 2,
    "stem": {"name": "patches", "patch_size": 2},
    "position": "sincos2d",
    "position_covers": "patches",
    "mixer": {"name": "self_attention", "heads": 2},
    "feed_forward": {"name": "mlp", "ratio": 2.0},
    "norm": "layer_norm",
    "final_norm": "before_pooling",
    "readout": "cls",
    "head": "linear",
    "dropout": 0.0,
    "init": "truncated_normal",
}
DATA: dict[str, Any] = {
    "source": "digits",
    "image_size": 8,
    "channels": 1,
    "classes": 10,
    "mean": 0.5,
    "std": 0.5,
    "test_fraction": 0.25,
    "val_fraction": 0.1,
    "split_seed": 0,
    "evaluate_on": "test",
    "eval_resize": 8,
}
OTHERS: dict[str, Any] = {
    "augment": {"crop": "off", "flip": False, "randaug": "off", "mixup": "off"},
    "optimizer": {
        "name": "adamw",
        "learning_rate": 3e-3,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.05,
        "decay": "kernels",
        "clip_norm": 1.0,
    },
    "schedule": {"epochs": 2, "batch_size": 64, "warmup_steps": 5, "decay": "cosine"},
    "precision": "float32",
}


def recipe(model: Mapping[str, Any] | None = None, **data: Any) -> Recipe:
    return Recipe.model_validate({"model": MODEL | dict(model or {}), "data": DATA | data, **OTHERS})


def untrained(settled: Recipe, claim: Claim) -> dict[str, float]:
    """Leave the first weights as the artifact; what training would have made of them does not matter here."""
    model = make_model(settled.model, settled.data, seed=0)
    (claim.folder / "artifacts" / "weights.pt").write_bytes(archive(model.state_dict()))
    return {"top1": 10.0}


def trained(settled: Recipe, claim: Claim) -> dict[str, float]:
    report: Any = lambda step, metrics: None  # noqa: E731 - with an attribute beside
    report.stop_requested = False
    return train(settled, 0, report, claim.folder)


class Place:
    """A spool and a folder for pictures."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.spool = Spool(self.home)

    def add(self, trial_id: str, settled: Recipe, how: Callable[..., dict[str, float]] = untrained) -> str:
        trial = Trial(trial_id, "baseline", 0, settled.resolved())
        claim = self.spool.claim(trial, VISION, "")
        assert claim is not None
        with claim:
            claim.finish(how(settled, claim), {})
        return trial_id

    def draw(self, trial: str, *images: str, **options: Any) -> list[Path]:
        return draw_attention(trial, images, home=self.home, out=self.root / "out", **options)

    def file(self, name: str, pixels: np.ndarray) -> str:
        Image.fromarray(pixels).save(self.root / name)
        return str(self.root / name)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def titles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of what is drawn from now on."""
    import ablate.attention

    seen: list[str] = []
    original = ablate.attention.draw
    monkeypatch.setattr(ablate.attention, "draw", lambda what: (seen.append(what.title), original(what))[1])
    return seen


def test_a_trained_trial_is_drawn_and_predicts_as_it_was_evaluated(place: Place, titles: list[str]) -> None:
    """Its pictures open and are not blank, and titles agree with per_example.npz, row by row."""
    trial = place.add("abc123", recipe(), trained)
    overviews = place.draw(trial, "test:0", "test:5", show="both")
    folders = [place.root / "out" / "abc123" / name for name in ("test-0", "test-5")]
    assert overviews == [folder / "overview.png" for folder in folders]
    names = {
        "overview",
        "input",
        "rollout",
        "attention-mean",
        "attention-head-01",
        "attention-head-02",
        "features-01",
        "features-02",
    }
    for folder in folders:
        assert {path.stem for path in folder.iterdir()} == names
        for path in folder.iterdir():
            assert opened(path).std() > 5, path
    artifact = place.spool.artifact(trial, "per_example.npz")
    assert artifact is not None
    with np.load(artifact) as rows:
        for title, row in zip(titles, (0, 5), strict=True):
            assert title.startswith(f"test:{row} · predicted {rows['prediction'][row]} (")
            assert title.endswith(f"label {rows['label'][row]}")


def test_the_pictures_are_the_models_attention(place: Place) -> None:
    """Each square of the mean map has the colour of the class token's weight, averaged over heads, to 4 of 255."""
    place.add("abc123", recipe(), trained)
    place.draw("abc123", "test:2")
    model = load_trained("abc123", place.home).model
    held_out = load(recipe().data).held_out
    images = next(iter(eval_batches(held_out, recipe().data, 8))).images[2:3]
    with torch.inference_mode():
        _, seen = model.forward_intermediates(images, attention_weights=True)
    expected = seen.attention[-1][0].mean(0)[0, 1:].numpy()
    picture = opened(place.root / "out" / "abc123" / "test-2" / "attention-mean.png")
    colours = 255 * mpl.colormaps["magma"](expected / expected.max()).reshape(4, 4, 4)[..., :3]
    np.testing.assert_allclose(picture[56::112, 56::112], colours, atol=4)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_an_image_file_is_seen_as_evaluation_would(place: Place, titles: list[str], mode: str) -> None:
    """A held-out digit saved as a file, in whatever mode, gives the input of the digit itself, and no label."""
    place.add("abc123", recipe())
    pixels = load(recipe().data).held_out.images(torch.tensor([4]))[0, 0].numpy()
    if mode == "1":
        pixels = np.where(pixels > 127, 255, 0).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(place.root / "digit.png")
    place.draw("abc123", str(place.root / "digit.png"))
    read = opened(place.root / "out" / "abc123" / "digit" / "input.png")[28::56, 28::56, 0]
    assert np.abs(read.astype(int) - pixels).max() <= (1 if mode == "P" else 0)
    assert "label" not in titles[0]


def test_a_photograph_is_resized_and_cropped(place: Place) -> None:
    """Of 40 x 20 px with a bright middle, the centre is what is seen."""
    place.add("abc123", recipe())
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:, 10:30] = 200
    place.draw("abc123", place.file("wide.png", pixels))
    read = opened(place.root / "out" / "abc123" / "wide" / "input.png")
    assert read.shape == (448, 448, 3)
    assert np.median(read) == 200


def test_a_folders_classes_are_named(place: Place, titles: list[str]) -> None:
    """With a folder of images, in colour, predictions and labels are the names of its folders."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            folder = place.root / "pets" / split / name
            folder.mkdir(parents=True)
            for number in range(3):
                pixels = random.integers(0, 256, (10, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    data = {"source": "imagefolder:pets", "channels": 3, "classes": 2, "test_fraction": 0.0, "eval_resize": 9}
    data["test_split"] = "val"
    place.add("abc123", recipe(**data))
    file = place.root / "pets" / "val" / "dog" / "0.png"
    place.draw("abc123", "test:0", "test:3", str(file))
    assert [title.rpartition(" ")[2] for title in titles[:2]] == ["cat", "dog"]
    inputs = [opened(place.root / "out" / "abc123" / name / "input.png") for name in ("test-3", "0")]
    assert (inputs[0] == inputs[1]).all()


def test_held_out_images_of_either_split(place: Place) -> None:
    """`val:` means the val images, whatever the Trial was judged on; an index beyond them is told."""
    place.add("abc123", recipe())
    place.draw("abc123", "val:0")
    data = recipe(evaluate_on="val").data
    read = opened(place.root / "out" / "abc123" / "val-0" / "input.png")[28::56, 28::56, 0]
    assert (read == load(data).held_out.images(torch.tensor([0]))[0, 0].numpy()).all()
    for wrong in ("test:9999", "test:-1", "test:last", "test:"):
        with pytest.raises(ValueError, match=r"there are 4\d\d test images, test:0 to test:4"):
            place.draw("abc123", wrong)


def test_images_of_one_name_do_not_overwrite_each_other(place: Place) -> None:
    """The second of two files of one name gets a folder of its own."""
    place.add("abc123", recipe())
    files = []
    for folder in ("a", "b"):
        (place.root / folder).mkdir()
        files.append(place.file(f"{folder}/same digit.png", np.full((8, 8), 90, dtype=np.uint8)))
    found = place.draw("abc123", *files)
    assert [path.parent.name for path in found] == ["same-digit", "same-digit~2"]


@pytest.mark.parametrize(
    "model",
    [
        {"readout": "gap", "init": "jax"},
        {"readout": "cls_distilled"},
        {"readout": {"name": "layer_wise_cls", "heads": 2}},
        {"readout": {"name": "map", "heads": 2}},
        {"mixer": {"name": "re_attention", "heads": 2}},
    ],
)
def test_other_points_of_the_space_are_drawn(place: Place, model: dict[str, Any]) -> None:
    """Whatever the readout, there is an overview that is not blank."""
    place.add("abc123", recipe(model))
    (overview,) = place.draw("abc123", "test:1", show="both")
    assert opened(overview).std() > 20


def test_a_whole_model_is_drawn(place: Place) -> None:
    """One of timm's by its name."""
    options = {"patch_size": 2, "embed_dim": 16, "depth": 2, "num_heads": 2}
    fields = {"model": {"name": "timm/vit_tiny_patch16_224", **options}, "data": DATA, **OTHERS}
    place.add("abc123", Recipe.model_validate(fields))
    (overview,) = place.draw("abc123", "test:1", show="both", block=1)
    assert opened(overview).std() > 20


def test_a_part_of_the_users_own_is_found_where_they_say(place: Place) -> None:
    """`import_from` is where its module lies; without it the error names the part."""
    source = "from ablate.models.readouts.cls import ClassToken\n\nclass Own(ClassToken):\n    pass\n"
    (place.root / "parts").mkdir()
    (place.root / "parts" / "attention_test_parts.py").write_text(
        source + "    def __init__(self, dim):\n        super().__init__(dim)\n"
    )
    sys.path.append(str(place.root / "parts"))
    try:
        place.add("abc123", recipe({"readout": "attention_test_parts:Own"}))
    finally:
        sys.path.remove(str(place.root / "parts"))
        sys.modules.pop("attention_test_parts", None)
    with pytest.raises(ValueError, match="attention_test_parts"):
        place.draw("abc123", "test:0")
    assert place.draw("abc123", "test:0", import_from=[place.root / "parts"])
    sys.modules.pop("attention_test_parts", None)


def test_without_attention_there_are_features(place: Place) -> None:
    """Attention alone is refused in one line with the way out, and nothing is written; with `both` they are drawn."""
    place.add("abc123", recipe({"mixer": {"name": "token_mlp", "hidden": 8}, "readout": "gap"}))
    with pytest.raises(ValueError, match=r"Trial abc123 has no attention to draw: .*TokenMLP.* with --show features$"):
        place.draw("abc123", "test:0", show="attention")
    assert not (place.root / "out").exists()
    shapes = {}
    for show in ("features", "both"):
        (overview,) = place.draw("abc123", "test:0", show=show)
        assert {path.name for path in overview.parent.iterdir()} == {
            "overview.png",
            "input.png",
            "features-01.png",
            "features-02.png",
        }
        shapes[show] = opened(overview).shape
    assert shapes["both"][0] > shapes["features"][0]  # by a line that says why they are alone


def test_what_the_layer_wise_readout_attends_to_is_said_not_to_be_shown(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the title of its attention, and of no other model's."""
    import ablate.attention

    notes = []
    original = ablate.attention.draw
    monkeypatch.setattr(ablate.attention, "draw", lambda what: (notes.append(what.note), original(what))[1])
    for trial, readout in (("abc123", {"name": "layer_wise_cls", "heads": 2}), ("def456", "cls")):
        place.add(trial, recipe({"readout": readout}))
        place.draw(trial, "test:0")
    assert "readout's own attention" in notes[0]
    assert notes[1] == ""


def test_a_trial_may_be_named_by_the_beginning_of_its_id(place: Place) -> None:
    """As long as only one begins so; else they are listed. A whole id counts even where another one begins with it."""
    for trial_id in ("aaa111", "aaa222", "aaa2"):
        place.add(trial_id, recipe())
    assert load_trained("aaa1", place.home).record.trial_id == "aaa111"
    assert load_trained("aaa2", place.home).record.trial_id == "aaa2"
    with pytest.raises(ValueError, match="3 Trials begin with 'aaa': aaa111, aaa2, aaa222; give more of the id"):
        load_trained("aaa", place.home)
    with pytest.raises(ValueError, match=r"no Trial 'aab111' in .*did you mean 'aaa111'"):
        load_trained("aab111", place.home)


@pytest.mark.parametrize("wrong", ["../abc", "", "a b", "*"])
def test_what_is_no_id_is_refused(place: Place, wrong: str) -> None:
    """Before any folder is looked at."""
    with pytest.raises(ValueError, match="not a Trial's id"):
        load_trained(wrong, place.home)


def test_an_unfinished_trial_has_no_weights(place: Place) -> None:
    """The error says how far it is; and one of another Trainable says so."""
    claim = place.spool.claim(Trial("failing", "baseline", 0, recipe().resolved()), VISION, "")
    assert claim is not None
    with claim:
        assert claim.folder.is_dir()
        claim.fail("diverged", "the loss became nan")
    with pytest.raises(ValueError, match="Trial failing is failed; only a finished one"):
        load_trained("failing", place.home)
    claim = place.spool.claim(Trial("foreign", "baseline", 0, {"width": 3}), "toy:train", "")
    assert claim is not None
    with claim:
        assert claim.folder.is_dir()
        claim.finish({"score": 1.0}, {})
    with pytest.raises(ValueError, match="Trial foreign was trained by toy:train"):
        load_trained("foreign", place.home)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "weights of Trial abc123 are not in"), (b"damaged", "does not hold the weights"), (b"", "does not hold")],
)
def test_missing_or_damaged_weights_are_told(place: Place, content: bytes | None, reason: str) -> None:
    """In one line that names the file or its place."""
    place.add("abc123", recipe())
    weights = place.spool.artifact("abc123", "weights.pt")
    assert weights is not None
    if content is None:
        weights.unlink()
    else:
        weights.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        load_trained("abc123", place.home)
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_are_told(place: Place) -> None:
    """They do not fit, and the error is one line."""
    place.add("abc123", recipe())
    weights = place.spool.artifact("abc123", "weights.pt")
    assert weights is not None
    weights.write_bytes(archive({"other": torch.zeros(1)}))
    with pytest.raises(ValueError, match="does not hold the weights of the model in its Recipe") as caught:
        load_trained("abc123", place.home)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("none.png", None, "there is no image .*test:INDEX"),
        ("text.png", b"no image", "cannot read the image"),
        ("", None, "is a folder; name the image files in it"),
    ],
)
def test_a_file_that_is_no_image_is_told(place: Place, name: str, content: bytes | None, reason: str) -> None:
    """And nothing is drawn of the images before it."""
    place.add("abc123", recipe())
    if content is not None:
        (place.root / name).write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        place.draw("abc123", "test:0", str(place.root / name))
    assert not (place.root / "out").exists()


def test_a_place_that_cannot_be_written_is_told(place: Place) -> None:
    """The folder for the pictures is a file."""
    place.add("abc123", recipe())
    (place.root / "out").write_text("a file")
    with pytest.raises(ValueError, match=r"cannot write to .*out"):
        place.draw("abc123", "test:0")


def test_a_trial_is_fetched_from_the_store(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the spool lacks and the Store holds finished is drawn, and then kept in the spool."""
    import ablate.trained

    elsewhere = Place(place.root / "elsewhere")
    elsewhere.add("abc123", recipe())

    def fetch(trial_id: str, folder: Path) -> Any:
        record = elsewhere.spool.record(trial_id)
        weights = elsewhere.spool.artifact(trial_id, "weights.pt")
        assert weights is not None
        (folder / "weights.pt").write_bytes(weights.read_bytes())
        return record

    def known(ids: list[str]) -> dict[str, Any]:
        return {i: SimpleNamespace(status="finished") for i in ids if i == "abc123"}

    store = SimpleNamespace(begun=lambda: True, known=known, fetch=fetch)
    monkeypatch.setattr(ablate.trained, "MlflowStore", lambda uri: store)
    assert place.draw("abc123", "test:0")
    assert place.spool.artifact("abc123", "weights.pt") is not None
    with pytest.raises(ValueError, match="no Trial 'abc999'"):
        place.draw("abc999", "test:0")
