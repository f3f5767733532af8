"""Parts and whole models of the user's own, written on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.check import Finding, check_study
from ablate.models.stems.patches import LinearPatches
from ablate.study.study import Study

HEAD = """
import torch
from torch import nn

class Drawing(nn.Module):
    def __init__(self, dim, classes):
        super().__init__()
        torch.randn(1000)
        self.hidden = nn.Linear(dim, dim)
        self.linear = nn.Linear(dim, classes)

    def forward(self, x):
        return self.linear(self.hidden(x))

class Meddling(Drawing):
    def __init__(self, dim, classes):
        super().__init__(dim, classes)
        from ablate.models.stems.patches import LinearPatches
        LinearPatches.roles = {**LinearPatches.roles, "projection.weight": "ones"}

class Broken(Drawing):
    def forward(self, x):
        return self.linear(x[:, :3])

class Untold(Drawing):
    def __init__(self, dim, classes):
        super().__init__(dim, classes)
        self.gain = nn.Parameter(torch.ones(dim))
"""
SCALED = """
import torch
from torch import nn

class Scaled(nn.Module):
    def __init__(self, dim, *, in_evaluation: float = 1.0, by: float = 1.0, table: bool = False, held: bool = False):
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.in_evaluation, self.by, self.table = in_evaluation, by, table
        self.ones = (torch.ones(dim), ) if held else ()  # neither a buffer nor a parameter: it stays float32

    def forward(self, x):
        x = self.linear(x * self.by / self.by)
        for ones in self.ones:
            x = x @ torch.diag(ones)
        if self.table:
            x = torch.eye(x.shape[1]) @ x
        return x if self.training else x * self.in_evaluation
"""
MODEL = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self, image_size, channels, classes, *, width: int = 8, norm: bool = False):
        super().__init__()
        inputs = image_size[0] * image_size[1] * channels
        self.up = nn.Linear(inputs, width)
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.up(x.flatten(1)))))
"""


def test_a_draw_in_a_constructor_shifts_nothing(study: Callable[..., Study], beside: Any) -> None:
    """A part that draws from the global generator while it is made leaves every other first value as it was."""
    beside("own_head", HEAD)
    (finding,) = check_study(study({"head": {"own": {"model.head": "own_head:Drawing"}}})).findings
    assert (finding.status, finding.problems) == ("ok", ())
    assert "head: LinearHead → Drawing" in finding.effects


def test_a_part_that_changes_shared_state_is_a_leak(
    study: Callable[..., Study], beside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head that meddles with how the stem is drawn is found, and no Variant after it is blamed for that."""
    monkeypatch.setattr(LinearPatches, "roles", LinearPatches.roles)
    beside("own_head", HEAD)
    loaded = study({"head": {"meddling": {"model.head": "own_head:Meddling"}, "mlp": {"model.head": "mlp"}}})
    leaking, after = check_study(loaded).findings
    assert leaking.status == "leak"
    (problem,) = leaking.problems
    assert (problem.aspect, problem.name) == ("parameter", "stem.projection.weight")
    assert problem.before != problem.after
    assert after.status == "ok"


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("Broken", "cannot be trained", "RuntimeError: "),
        ("Untold", "cannot be built", "how head.gain is first drawn"),
    ],
)
def test_a_part_that_does_not_work_is_an_error_with_its_reason(
    study: Callable[..., Study], beside: Any, tmp_path: Path, name: str, status: str, reason: str
) -> None:
    """A part that cannot be drawn, or not be run, is told with what it raised, and tried again by the next check."""
    beside("own_head", HEAD)
    loaded = study({"head": {"own": {"model.head": f"own_head:{name}"}, "mlp": {"model.head": "mlp"}}})
    broken, other = check_study(loaded, cache=tmp_path / "checks.json").findings
    assert broken.status == status
    assert reason in broken.note
    assert other.status == "ok"
    assert len(tmp_path.joinpath("checks.json").read_text(encoding="utf-8").split('"status"')) == 2


def test_an_edited_part_is_checked_anew(study: Callable[..., Study], beside: Any, tmp_path: Path) -> None:
    """The source of a part of the user's own is part of what a finding is kept under."""
    beside("own_head", HEAD)
    levels = {"head": {"own": {"model.head": "own_head:Drawing"}}}
    (before,) = check_study(study(levels), cache=tmp_path / "checks.json").findings
    beside("own_head", HEAD.replace("self.hidden(x)", "self.hidden(x) * 0.5"))
    (after,) = check_study(study(levels), cache=tmp_path / "checks.json").findings
    assert before.effects != after.effects


def test_a_whole_model_may_change_as_a_whole(study: Callable[..., Study], beside: Any) -> None:
    """A model that is no point of the space has no components, and its options may change all of it."""
    beside("own_model", MODEL)
    loaded = study(
        {
            "width": {"16": {"model.width": 16}},
            "norm": {"yes": {"model.norm": True}},
            "mean": {"0.4": {"data.mean": 0.4}},
            "size": {"16": {"data.image_size": 16, "data.eval_resize": 16}},
            "mixed": {"off": {"augment.mixup": "off"}},
        },
        profile="whole",
        profiles={"whole": {"base": {"model": {"name": "own_model:Small"}}}},
    )
    assert {f.variant: f.status for f in check_study(loaded).findings} == {
        "width=16": "ok",
        "norm=yes": "ok",
        "mean=0.4": "ok",
        "size=16": "ok",
        "mixed=off": "ok",
    }


def test_a_whole_model_in_place_of_a_point_of_the_space(study: Callable[..., Study], beside: Any) -> None:
    """Another model altogether leaves the batches as they are."""
    beside("own_model", MODEL)
    (finding,) = check_study(study({"model": {"small": {"model": {"name": "own_model:Small"}}}})).findings
    assert (finding.status, finding.problems) == ("ok", ())
    assert "model: VisionTransformer → Small" in finding.effects


def _scaled(study: Callable[..., Study], override: dict[str, Any], **base: Any) -> Finding:
    """The finding of one Level of the feed-forward `Scaled`."""
    profile = {
        "own": {"base": {"model.feed_forward": {"name": "own_scaled:Scaled", **base.pop("options", {})}, **base}}
    }
    (finding,) = check_study(study({"own": {"x": override}}, profile="own", profiles=profile)).findings
    return finding


def test_what_acts_in_evaluation_alone_is_an_effect(study: Callable[..., Study], beside: Any) -> None:
    """A scale that only evaluation has shows, though a head of zeros hides it at first."""
    beside("own_scaled", SCALED)
    finding = _scaled(study, {"model.feed_forward.in_evaluation": 3.0}, **{"model.head": "zero_linear"})
    assert finding.status == "ok"
    assert "evaluation loss after two updates" in finding.effects[-1]


def test_rounding_before_a_batch_norm_is_no_effect(study: Callable[..., Study], beside: Any) -> None:
    """A bias before a batch norm has rounding for a gradient; what AdamW and the statistics make of it is none."""
    beside("own_scaled", SCALED)
    base = {"model.norm": "batch_norm", "optimizer.learning_rate": 0.1, "optimizer.eps": 1e-9}
    finding = _scaled(study, {"model.feed_forward.by": 3.0}, **base)
    assert finding.status == "no effect"


def test_a_table_made_in_forward_is_float64_there(study: Callable[..., Study], beside: Any) -> None:
    """A matrix of the default dtype is no error in float64, where rounding is told from an effect."""
    beside("own_scaled", SCALED)
    finding = _scaled(study, {"model.feed_forward.by": 3.0}, options={"table": True})
    assert (finding.status, "float" in finding.note) == ("no effect", False)
    assert torch.get_default_dtype() == torch.float32


def test_what_float64_cannot_compute_float32_decides(study: Callable[..., Study], beside: Any) -> None:
    """A part that only float32 can run is compared there, to the last bit, and the finding says so."""
    beside("own_scaled", SCALED)
    finding = _scaled(study, {"model.feed_forward.by": 3.0}, options={"held": True})
    assert finding.status == "ok"
    assert "told by float32" in finding.note
    finding = _scaled(study, {"model.feed_forward.by": 2.0}, options={"held": True})
    assert finding.status == "no effect"
    assert finding.note.startswith("in float32, ")
