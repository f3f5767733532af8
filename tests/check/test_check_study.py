"""A study's check: which Variants, what is kept, and how it is told."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ablate.check import Check, Finding, as_json, check_study, render_check
from ablate.check import known as known_module
from ablate.check.study import chosen_variants
from ablate.models.stems.patches import LinearPatches
from ablate.study.load import load_study
from ablate.study.study import Study
from ablate.training import probe as probe_module

MakeStudy = Callable[..., Study]
TWO = {
    "head": {"mlp": {"model.head": "mlp"}},
    "position": {"learned": {"model.position": "learned"}, "none": {"model.position": "none"}},
}
RUDE = """
from torch import nn

class Rude(nn.Module):
    def __init__(self, dim, classes):
        super().__init__()
        self.linear = nn.Linear(dim, classes)
        from ablate.models.stems.patches import LinearPatches
        LinearPatches.roles = {**LinearPatches.roles, "projection.weight": "ones"}

    def forward(self, x):
        return self.linear(x)

class Broken(nn.Module):
    def __init__(self, dim, classes):
        super().__init__()
        self.linear = nn.Linear(dim, classes)

    def forward(self, x):
        return self.linear(x[:, :3])
"""
COVERS = {"covers": {"all": {"model.position_covers": "all"}}}


def _text(check: Check) -> str:
    written = io.StringIO()
    Console(width=200, file=written).print(render_check(check))
    return written.getvalue()


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("ceit", 16),
        ("ceit-components", 4),  # what two or three of its Levels do is what each does
        ("deepvit", 4),
        ("deit", 17 + 2),  # two teachers
        ("families", 10),
        ("mixers", 10),
        ("mlp-mixer", 8),
        ("simplevit", 14),
        ("vit", 14),
        ("vit-to-ceit", 12),
    ],
)
def test_the_studies_own_levels_do_what_they_say(studies: Path, name: str, count: int) -> None:
    """Every Level and every listed Variant of the repository's studies on digits is in order."""
    check = check_study(load_study(studies / f"{name}.yaml", "digits"))
    assert {f.variant: f.status for f in check.findings if f.status != "ok"} == {}
    assert len(check.findings) == count


def test_every_study_of_the_repository_is_checked(studies: Path) -> None:
    """No study is left out of the test above."""
    (mark,) = [m for m in test_the_studies_own_levels_do_what_they_say.pytestmark if m.name == "parametrize"]
    assert sorted(f"{name}.yaml" for name, _ in mark.args[1]) == sorted(p.name for p in studies.glob("*.yaml"))


EPS = {"eps": {"larger": {"optimizer.eps": 1e-6}}}


def _ladder(*rungs: dict[str, str]) -> dict[str, Any]:
    return {"design": "listed", "variants": {str(n): {"levels": rung} for n, rung in enumerate(rungs, 1)}}


@pytest.mark.parametrize("upwards", [True, False])
def test_a_dead_rung_of_a_ladder_is_found(study: MakeStudy, upwards: bool) -> None:
    """A Level that does nothing is an error though it never stands alone; the rungs around it are in order."""
    rungs = [{"eps": "larger"}, {"eps": "larger", "covers": "all"}, {"eps": "larger", "covers": "all", "head": "mlp"}]
    loaded = study(TWO | COVERS | EPS, **_ladder(*(rungs if upwards else rungs[::-1])))
    findings = check_study(loaded).findings if upwards else check_study(loaded).findings[::-1]
    assert [(f.status, f.beside) for f in findings] == [
        ("ok", ""),
        ("no effect", findings[0].variant),
        ("ok", findings[1].variant),
    ]
    note = findings[1].note
    assert note.startswith(f"beside {findings[0].variant}, the Variant nearest to it: ")
    assert "readout 'gap' has no token of its own" in note
    assert [d.name for d in findings[1].problems if d.aspect == "field"] == ["model.position_covers"]


def test_what_two_updates_cannot_show_is_no_level_without_effect(study: MakeStudy) -> None:
    """A rung that is only judged by the average is held beside the baseline alone; by itself it is not checked."""
    smooth, judged = {"loss.label_smoothing": 0.1}, {"ema": {"decay": 0.9}, "judge": "ema"}
    factors = {"smoothing": {"some": smooth}, "average": {"on": judged}}
    rungs = _ladder({"smoothing": "some"}, {"smoothing": "some", "average": "on"}, {"average": "on"})
    check = check_study(study(factors, **rungs))
    assert [(f.variant, f.status, f.beside) for f in check.findings] == [("1", "ok", ""), ("2", "ok", "")]
    assert check.notes == ("not checked, since two updates cannot show what they change: 3",)


@pytest.mark.parametrize(
    ("model", "status"),
    [("timm/vit_tiny_patch16_224", "ok"), ({"name": "timm/convnext_atto", "dims": [3, 5]}, "cannot be built")],
)
def test_a_teacher_is_built_before_anything_trains(study: MakeStudy, model: Any, status: str) -> None:
    """One that cannot be built is found like a Variant that cannot, by its name; it is held beside nothing."""
    if status == "ok":
        model = {"dim": 32}
    distillation = {"distillation": {"teacher": {"checkpoint": "study:big"}}}
    made = study({"teacher": {"big": distillation}}, teachers={"big": {"base": {"model": model}}})
    findings = {f.variant: f.status for f in check_study(made).findings}
    assert findings == {"teacher=big": "ok", "teacher:big": status}


def test_a_leak_is_found_behind_a_level_that_may_change_it(
    study: MakeStudy, beside: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other first weights everywhere do not hide that a head meddles with the stem's, seen from the rung below."""
    monkeypatch.setattr(LinearPatches, "roles", LinearPatches.roles)
    beside("rude_head", RUDE)
    factors = {"init": {"jax": {"model.init": "jax"}}, "head": {"rude": {"model.head": "rude_head:Rude"}}}
    below, above = check_study(study(factors, **_ladder({"init": "jax"}, {"init": "jax", "head": "rude"}))).findings
    assert (below.status, above.status, above.beside) == ("ok", "leak", "1")
    assert [d.name for d in above.problems] == ["stem.projection.weight"]


def test_each_variant_is_probed_once(study: MakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rung below costs nothing: its probe is there already."""
    probed: list[str] = []
    real = probe_module.probe

    def counted(recipe: Any, **options: Any) -> Any:
        probed.append(f"{recipe.optimizer.eps} {recipe.model.head.name}")
        return real(recipe, **options)

    monkeypatch.setattr(probe_module, "probe", counted)
    check = check_study(study(TWO | EPS, **_ladder({"eps": "larger"}, {"eps": "larger", "head": "mlp"})))
    assert not check.failed
    assert probed == ["1e-08 linear", "1e-06 linear", "1e-06 mlp"]
    assert "held beside 1, too" in _text(check)


def test_a_variant_whose_neighbour_failed_is_held_again(
    study: MakeStudy, beside: Callable[[str, str], None], tmp_path: Path
) -> None:
    """Where the rung below cannot be trained, the finding of the one above is not kept."""
    beside("rude_head", RUDE)
    factors = EPS | {"head": {"broken": {"model.head": "rude_head:Broken"}, "mlp": {"model.head": "mlp"}}}
    rungs = {"eps": "larger", "head": "broken"}, {"eps": "larger", "head": "mlp"}
    check = check_study(study(factors, **_ladder(*rungs)), cache=tmp_path / "checks.json")
    assert [(f.status, f.beside) for f in check.findings] == [("cannot be trained", ""), ("ok", "")]
    assert not tmp_path.joinpath("checks.json").exists()


@pytest.mark.parametrize(
    ("override", "base", "words"),
    [
        ({"optimizer.eps": 1.0000000001e-8}, {}, "in float32, losses, gradients and updates are those of the baseline"),
        ({"optimizer.decay": "all"}, {"optimizer.weight_decay": 0.0}, "optimizer.weight_decay is 0"),
        ({"model.position_covers": "all"}, {}, "readout 'gap' has no token of its own that positions could cover"),
    ],
)
def test_a_level_without_effect_is_told_why(study: MakeStudy, override: Any, base: Any, words: str) -> None:
    """Where the reason is known, the finding has it; where float32 alone decided, it says that."""
    (finding,) = check_study(study({"a": {"b": override}}, profile="own", profiles={"own": {"base": base}})).findings
    assert finding.status == "no effect"
    assert words in finding.note


def test_nothing_is_cut_and_a_whole_model_is_named(study: MakeStudy) -> None:
    """On a narrow terminal long names are wrapped, and of a model only its name or its size is told."""
    whole = {"name": "cswin", "embed_dim": 8, "depths": [1, 1, 1, 1], "heads": [1, 1, 1, 1]}
    check = replace(
        check_study(study(COVERS)),
        findings=(Finding("ok", ("x" * 200,), variant="model=" + "cswin" * 10),),
        variants={"model=" + "cswin" * 10: {"model": ({"dim": 16, "depth": 2, "stem": "patches"}, whole)}},
    )
    written = io.StringIO()
    Console(width=80, file=written).print(render_check(check))
    assert "…" not in written.getvalue()
    assert written.getvalue().count("x") == 200
    assert "model: a model of the space, dim 16, depth 2 → cswin" in _text(check)


def test_a_study_without_its_data_is_checked_on_random_images(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a folder of images is not on this machine, models are checked all the same, and the check says so."""
    monkeypatch.setenv("ABLATE_DATA", str(tmp_path))
    small = ["model.dim=48", "model.depth=1", "data.image_size=32", "data.eval_resize=32", "data.classes=10"]
    loaded = load_study(
        studies / "simplevit.yaml", "imagenet-90ep", only=["head=*", "mixup=off", "batch=*"], sets=small
    )
    check = check_study(loaded)
    assert {f.variant: f.status for f in check.findings} == {
        "head=linear": "ok",
        "batch=4096": "ok",
        "batch=4096-warmup-epochs": "ok",
        "mixup=off": "ok",
    }
    assert "imagefolder:imagenet" in check.notes[0]


def test_a_second_check_takes_what_the_first_found(
    study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its cache a check builds nothing, whatever the Variants are called now."""
    cache = tmp_path / "home" / "checks.json"
    first = check_study(study(TWO), cache=cache)
    monkeypatch.delattr(probe_module, "probe")
    assert check_study(study(TWO), cache=cache) == first
    renamed = check_study(study({"top": {"big": {"model.head": "mlp"}}}), cache=cache)
    assert [f.variant for f in renamed.findings] == ["top=big"]
    assert renamed.findings[0] == replace(first.findings[0], variant="top=big")


def test_other_code_is_another_check(study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings of another state of the models, the data or the training do not count."""
    cache = tmp_path / "checks.json"
    check_study(study(TWO), cache=cache)
    probed = []
    monkeypatch.setattr(known_module, "sources_digest", lambda: "another")
    check_study(study(TWO), cache=cache, progress=lambda *done: probed.append(done))
    assert probed == [(0, 3, "head=mlp"), (1, 3, "position=learned"), (2, 3, "position=none")]


def test_another_base_is_another_check(study: MakeStudy, tmp_path: Path) -> None:
    """A Level is checked anew beside another baseline."""
    cache = tmp_path / "checks.json"
    check_study(study(COVERS), cache=cache)
    other = {"profile": "cls", "profiles": {"cls": {"base": {"model.readout": "cls", "model.position": "learned"}}}}
    assert check_study(study(COVERS), cache=cache).failed
    assert not check_study(study(COVERS, **other), cache=cache).failed


def test_a_second_check_imports_no_torch(study: MakeStudy, tmp_path: Path) -> None:
    """What is known already is told at once, since the heavy packages stay unloaded."""
    check_study(study(TWO), cache=tmp_path / "checks.json")
    code = (
        "import sys\nfrom pathlib import Path\nfrom ablate.study.load import load_study\n"
        "from ablate.check import as_json, check_study, render_check\n"
        "check = check_study(load_study(Path('study.yaml')), cache=Path('checks.json'))\n"
        "assert len(check.findings) == 3 and as_json(check) and render_check(check)\n"
        "assert not {'torch', 'mlflow', 'timm'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_torn_cache_costs_time_and_nothing_else(study: MakeStudy, tmp_path: Path) -> None:
    """A cache that cannot be read is replaced; one that cannot be written is done without."""
    cache = tmp_path / "checks.json"
    cache.write_text('{"0": {"stat', encoding="utf-8")
    assert not check_study(study(COVERS | TWO, only=("head=*",)), cache=cache).failed
    assert len(json.loads(cache.read_text(encoding="utf-8"))) == 1
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    assert not check_study(study(TWO), cache=blocked / "checks.json").failed


def test_combinations_of_checked_levels_are_left_out(study: MakeStudy) -> None:
    """Of a factorial design the Variants of one Level are checked, and the listed ones; others are counted."""
    listed = {"variants": {"both": {"levels": {"head": "mlp", "covers": "all"}}}}
    loaded = study(TWO | COVERS, design=["one_at_a_time"], **listed)
    assert [v.name for v in chosen_variants(loaded)[0]] == [
        "head=mlp",
        "position=learned",
        "position=none",
        "covers=all",
        "both",
    ]
    crossed = study(TWO, design="factorial")
    chosen, skipped = chosen_variants(crossed)
    assert [v.name for v in chosen] == ["position=learned", "position=none", "head=mlp"]
    assert skipped == ("head=mlp,position=learned", "head=mlp,position=none")
    assert "2 combinations of Levels that were each checked are left out" in _text(check_study(crossed))


def test_a_combination_stands_in_for_a_level_that_is_nowhere_alone(study: MakeStudy) -> None:
    """With --only, a combination is checked where its Levels are not."""
    chosen, skipped = chosen_variants(study(TWO, design="factorial", only=("head=mlp,position=*",)))
    assert [v.name for v in chosen] == ["head=mlp,position=learned", "head=mlp,position=none"]
    assert skipped == ()


def test_a_baseline_that_cannot_be_trained_is_the_one_error(study: MakeStudy) -> None:
    """Where the baseline cannot be trained, that is said once and no Variant is blamed."""
    loaded = study(TWO, profile="large", profiles={"large": {"base": {"schedule.batch_size": 5000}}})
    check = check_study(loaded)
    (finding,) = check.findings
    assert (finding.variant, finding.status) == ("baseline", "cannot be trained")
    assert _text(check).rstrip().endswith("nothing could be checked: the baseline cannot be trained")
    assert "schedule.batch_size is 5000" in finding.note


def test_a_trainable_of_the_users_own_is_not_looked_into(study: MakeStudy, tmp_path: Path) -> None:
    """A study that trains with its own function is left alone, with a word on why."""
    tmp_path.joinpath("own_training.py").write_text("def train(recipe, seed, report, folder): ...\n", encoding="utf-8")
    loaded = study({"rate": {"low": {"rate": 0.1}}}, trainable="own_training:train", base={"rate": 0.5})
    check = check_study(loaded)
    assert (check.findings, check.failed) == ((), ())
    assert "own_training:train" in check.notes[0]
    assert "nothing was checked" in _text(check)


def test_errors_are_shown_from_both_sides(study: MakeStudy) -> None:
    """The terminal shows what was said, what differs and what does not; the JSON says the same."""
    check = check_study(study(COVERS | {"head": {"mlp": {"model.head": "mlp"}}}))
    text = _text(check)
    assert "covers=all: no effect" in text
    assert "position_covers: patches → all" in text
    assert "1 of 2 Variants in error" in text
    plain: Any = json.loads(json.dumps(as_json(check)))
    assert plain["ok"] is False
    wrong, right = plain["variants"]
    assert wrong["changes"] == {"model.position_covers": {"from": "patches", "to": "all"}}
    assert (wrong["status"], right["status"]) == ("no effect", "ok")
    assert wrong["problems"][0]["before"] == "patches"
    assert right["effects"][0] == "head: LinearHead → MLPHead"


def test_a_finding_survives_json() -> None:
    """A finding read back is the finding that was written."""
    finding = Finding("leak", ("a", "b"), (), "why", "x=y")
    assert Finding.from_json(json.loads(json.dumps(finding.as_json()))) == finding
