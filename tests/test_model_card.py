"""`ablate model`: parts, parameters and cost of a model, and how two models differ."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ablate.cli import app
from ablate.model_card import Images, ModelError, make_card, model_differences, resolve_model
from ablate.presets import PRESETS

Ask = Callable[..., Result]


@pytest.fixture
def ask(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run `ablate model` with these arguments, in a wide terminal and an empty folder."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    return lambda *arguments: CliRunner().invoke(app, ["model", *arguments], env={"COLUMNS": "200"})


@pytest.fixture
def told(ask: Ask) -> Callable[..., dict[str, Any]]:
    """The same with `--json`, read."""

    def read(*arguments: str) -> dict[str, Any]:
        done = ask(*arguments, "--json")
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return read


SMALL = ["--set", "dim=32", "--set", "depth=2", "--set", "mixer.heads=4", "--set", "stem.patch_size=8"]
ON_16 = ["--image-size", "16", "--classes", "10"]


def test_parameters_and_flops_are_those_of_the_formula(told: Callable[..., dict[str, Any]]) -> None:
    """A ViT of width 32 with 4 patches of 8 px and a class token, counted by hand to the last one."""
    found = told("ViT-S/16", *SMALL, *ON_16)
    D, N, blocks, patch, classes = 32, 5, 2, 3 * 8 * 8, 10
    projection = (N - 1) * patch * D
    attention = N * D * 3 * D + 2 * N * N * D + N * D * D
    mlp = 2 * N * D * 4 * D
    assert found["macs"] == projection + blocks * (attention + mlp) + D * classes
    assert found["flops"] == 2 * found["macs"]
    a_block = 2 * 2 * D + (D * 3 * D + 3 * D) + (D * D + D) + (D * 4 * D + 4 * D) + (4 * D * D + D)
    parts = {
        "stem": patch * D + D,
        "position": N * D,
        "blocks": blocks * a_block,
        "norm": 2 * D,
        "readout": D,
        "head": D * classes + classes,
    }
    assert found["parameters_of"] == parts
    assert found["parameters"] == sum(parts.values())
    assert found["activation_bytes"] > 4 * blocks * N * D


def test_the_card_says_what_was_measured(told: Callable[..., dict[str, Any]]) -> None:
    """Name with its changes, images, and every value of the model."""
    found = told("ViT-S/16", *SMALL, *ON_16, "--channels", "3")
    assert found["name"] == "ViT-S/16 dim=32 depth=2 mixer.heads=4 stem.patch_size=8"
    assert (found["image_size"], found["channels"], found["classes"]) == (16, 3, 10)
    assert found["model"] == resolve_model("ViT-S/16", SMALL[1::2]).model_dump(mode="json")


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    [
        ("DeiT-S/16", 22_050_664, 4.6),  # 22M and 4.6
        ("CeiT-T", 6_356_904, 1.4),  # 6.4M and 1.2: without the two products of attention this is 1.2, too
        ("T2T-ViT-14", 21_465_806, 4.8),  # 21.5M and 4.8
        ("PVT-Tiny", 13_229_288, 1.9),  # 13.2M and 1.9
        ("CSWin-T", 22_320_552, 4.3),  # 23M and 4.3
        ("ResMLP-S12", 15_350_872, 3.0),  # 15M and 3.0
        ("timm/resnet18", 11_689_512, 1.8),  # 11.7M and 1.8
    ],
)
def test_published_models_cost_what_is_published(
    told: Callable[..., dict[str, Any]], name: str, parameters: int, gmacs: float
) -> None:
    """Parameters exactly, and multiply-adds to a tenth of a thousand million: the papers' and authors' "GFLOPs"."""
    found = told(name)
    assert found["parameters"] == parameters
    assert round(found["macs"] / 1e9, 1) == gmacs


def test_the_card_shows_parts_parameters_and_totals(ask: Ask) -> None:
    """For a person: what each part is, how many values are where, and the totals."""
    done = ask("CeiT-T")
    assert done.exit_code == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for beginning in (
        "CeiT-T, for 1,000 classes of 224 x 224 px with 3 channels",
        "stem image_to_tokens",
        "readout layer_wise_cls, heads 3",
        "feed_forward leff",
        "blocks 5,472,000",
        "6,356,904 parameters",
    ):
        assert any(line.startswith(beginning) for line in lines), beginning


def test_a_diff_names_the_parts_that_differ(told: Callable[..., dict[str, Any]], ask: Ask) -> None:
    """Those and no others, from the first model's to the second's."""
    arguments = ["SimpleViT-S/16", "--diff", "DeiT-S/16"]
    found = told(*arguments)
    assert found["differences"] == {
        "position": {"from": "sincos2d", "to": "learned"},
        "position_covers": {"from": "patches", "to": "all"},
        "feed_forward.activation": {"from": "gelu_tanh", "to": "gelu"},
        "readout": {"from": "gap", "to": "cls"},
        "init": {"from": "jax", "to": "truncated_normal"},
    }
    assert (found["first"]["parameters"], found["second"]["parameters"]) == (21_974_632, 22_050_664)
    shown = [line.split() for line in ask(*arguments).stdout.splitlines()]
    assert ["readout", "gap", "cls"] in shown
    assert ["parameters", "21,974,632", "22,050,664"] in shown
    assert not any("mixer" in line for line in shown)


def test_changes_belong_to_the_first_model(told: Callable[..., dict[str, Any]]) -> None:
    """`--set` does not touch the one that it is compared with."""
    found = told("ViT-S/16", "--set", "readout=gap", "--diff", "ViT-S/16")
    assert found["differences"] == {"readout": {"from": "gap", "to": "cls"}}


def test_a_model_of_the_space_may_be_compared_with_a_whole_one(told: Callable[..., dict[str, Any]], ask: Ask) -> None:
    """They share no part, so each is told as a whole."""
    found = told("ViT-Ti/16", "--diff", "PVT-Tiny")
    assert found["differences"].keys() == {"model"}
    assert found["differences"]["model"]["to"]["name"] == "pvt"
    assert found["differences"]["model"]["from"]["dim"] == 192
    done = ask("ViT-Ti/16", "--diff", "timm/resnet18")
    assert done.exit_code == 0
    assert "timm/resnet18" in done.stdout
    assert "11,689,512" in done.stdout


def test_a_model_differs_from_itself_in_nothing() -> None:
    """Neither a preset nor a whole model."""
    for name in ("ViT-Ti/16", "timm/resnet18"):
        card = make_card(name, (), Images(32, 1, 10))
        assert model_differences(card, card) == {}


def test_without_a_name_the_presets_are_listed(ask: Ask, told: Callable[..., dict[str, Any]]) -> None:
    """One a line, or as a list."""
    assert ask().stdout.splitlines() == list(PRESETS)
    assert told() == list(PRESETS)


MISTAKES = {
    ("SimpleVit-S/16",): "there is no preset named 'SimpleVit-S/16'",
    ("ViT-S/16", "--diff", "ViT-S/61"): "did you mean 'ViT-S/16'?",
    ("timm/resnet81",): "timm has no model named 'resnet81'; did you mean",
    ("nowhere:Net",): "'nowhere:Net': cannot find the module 'nowhere'",
    ("ViT-S/16", "--set", "dim"): "--set takes field=value, not 'dim'",
    ("ViT-S/16", "--set", "dmi=16"): "there is no field 'dmi' in 'model'",
    ("ViT-S/16", "--set", "mixer.heds=16"): "did you mean 'heads'?",
    ("ViT-S/16", "--set", "dim=wide"): "dim: must be a whole number, not 'wide'",
    ("ViT-S/16", "--set", "dim=[3"): "--set dim=[3: not YAML",
    ("ViT-S/16", "--set", "position=lerned"): "there is no position named 'lerned'",
    ("ViT-S/16", "--set", "preset=DeiT-S/16"): "another model is not a change of ViT-S/16; ask for it by its name",
    ("timm/resnet18", "--set", "name=pvt"): "another model is not a change of timm/resnet18",
    ("timm/vit_tiny_patch16_224", "--set", "num_classes=3"): "'num_classes' here: the data section decides it",
    (
        "ViT-S/16",
        "--image-size",
        "100",
    ): "ViT-S/16 cannot be built for 1,000 classes of 100 x 100 px with 3 channels: stem",
    ("--diff", "ViT-S/16"): "--diff needs the NAME of a model before it",
    ("--set", "dim=16"): "--set needs the NAME of a model before it",
    ("timm/vit_tiny_patch16_224", "--set", "num_heads=5"): "with 3 channels: dim should be divisible by num_heads",
    ("timm/caformer_m36", "--set", "num_classes=3"): "'num_classes' here: the data section decides it",
    ("CSWin-T", "--image-size", "30"): "a stem of stride 4 does not divide an image of 30 x 30 px",
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.items())
def test_a_mistake_is_one_line(ask: Ask, arguments: tuple[str, ...], message: str) -> None:
    """On the error stream, with the nearest name where there is one, and exit code 2."""
    done = ask(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, image_size, channels, classes, *, width: int = 8):
        super().__init__()
        self.up = nn.Linear(channels * image_size[0] * image_size[1], width)
        self.down = nn.Linear(width, classes)

    def forward(self, images):
        return self.down(self.up(images.flatten(1)))

class Broken(Net):
    def forward(self, images):
        return self.down(images)

class FiveClasses(Net):
    def forward(self, images):
        return super().forward(images)[:, :5]

class Misspelt(Net):
    def forward(self, images):
        return self.dwon(images)
"""


@pytest.fixture
def own(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the user's in the working folder."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (workplace / "net_of_card.py").write_text(textwrap.dedent(OWN), encoding="utf-8")
    monkeypatch.delitem(sys.modules, "net_of_card", raising=False)


@pytest.mark.usefixtures("own")
def test_a_model_of_the_users_own_is_found_in_the_working_folder(told: Callable[..., dict[str, Any]]) -> None:
    """Measured like any other, with changes of its options."""
    found = told("net_of_card:Net", "--set", "width=4", "--image-size", "8", "--channels", "1", "--classes", "10")
    assert found["model"] == {"name": "net_of_card:Net", "width": 4}
    assert found["parameters"] == (64 * 4 + 4) + (4 * 10 + 10)
    assert found["macs"] == 64 * 4 + 4 * 10


@pytest.mark.usefixtures("own")
def test_a_model_that_cannot_be_run_says_so() -> None:
    """Shapes that do not fit are told in one line."""
    with pytest.raises(
        ModelError, match=r"^net_of_card:Broken cannot be run on 10 classes of 6 x 6 px with 1 channels: \S"
    ):
        make_card("net_of_card:Broken", (), Images(6, 1, 10))


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Broken", ""),
        ("FiveClasses", "the model gives (B, 5) for 10 classes; it must give (B, classes)"),
        ("Misspelt", "AttributeError: 'Misspelt' object has no attribute 'dwon'"),
    ],
)
def test_the_console_script_tells_a_wrong_forward_in_one_line(workplace: Path, name: str, reason: str) -> None:
    """The installed command finds a module in the working folder, and no traceback of torch's is shown."""
    script = str(Path(sysconfig.get_path("scripts")) / "ablate")
    arguments = ["model", f"net_of_card:{name}", "--image-size", "6", "--channels", "1", "--classes", "10"]
    done = subprocess.run([script, *arguments], cwd=workplace, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"net_of_card:{name} cannot be run on 10 classes of 6 x 6 px with 1 channels: {reason}"
    )
    assert done.stderr.count("\n") == 1


def test_an_error_of_timms_is_told_once(ask: Ask) -> None:
    """The model's name and "cannot be built" stand in the line once each."""
    line = ask("timm/vit_tiny_patch16_224", "--set", "num_heads=5").stderr
    assert (line.count("timm/vit"), line.count("cannot be built")) == (1, 1)


def narrow(*arguments: str) -> str:
    """What a terminal of 80 columns shows."""
    done = CliRunner().invoke(app, ["model", *arguments], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_nothing_is_cut_in_a_narrow_terminal(workplace: Path) -> None:
    """The title has a line of its own, no line is beyond 80 columns, and every option of a part is there."""
    shown = narrow("CeiT-T")
    assert shown.splitlines()[0] == "CeiT-T, for 1,000 classes of 224 x 224 px with 3 channels"
    both = narrow("CeiT-T", "--diff", "DeiT-S/16")
    for text in (shown, both):
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= 80
    assert "leff, ratio 4.0, kernel 3" in shown
    assert "leff, ratio 4.0, kernel 3" in both
    assert "mlp, ratio 4.0, activation" in both


def test_a_diff_without_a_difference_says_so(workplace: Path) -> None:
    """Of parts, or of a whole model's options."""
    assert "no part differs" in narrow("ViT-Ti/16", "--diff", "ViT-Ti/16").splitlines()
    assert "no option differs" in narrow("PVT-Tiny", "--diff", "PVT-Tiny").splitlines()


def test_whole_models_differ_in_options_or_as_wholes(told: Callable[..., dict[str, Any]]) -> None:
    """Of one name, field by field; of two names, each by its name and options."""
    assert told("PVT-Small", "--diff", "PVT-Tiny")["differences"].keys() == {"depths"}
    found = told("PVT-Tiny", "--diff", "CSWin-T")["differences"]
    assert found.keys() == {"model"}
    assert (found["model"]["from"]["name"], found["model"]["to"]["name"]) == ("pvt", "cswin")
