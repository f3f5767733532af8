"""What CSWin and PVT have in common: gradients, batches, transformations, first values, maps and small images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state

from ablate.models.cswin import CSWinTransformer
from ablate.models.init import initialise
from ablate.models.pvt import PyramidVisionTransformer
from ablate.models.pyramid import Pyramid

CSWIN: dict[str, Any] = {
    "dim": 8,
    "depths": [1, 2],
    "split_sizes": [2, 4],
    "heads": [2, 4],
    "ratio": 2.0,
    "stem_kernel": 3,
    "stem_stride": 1,
}
PVT: dict[str, Any] = {
    "dims": [8, 16],
    "depths": [1, 2],
    "heads": [2, 4],
    "ratios": [2.0, 2.0],
    "reductions": [2, 1],
    "patch_sizes": [1, 2],
}
FAMILIES = {"cswin": (CSWinTransformer, CSWIN), "pvt": (PyramidVisionTransformer, PVT)}


def small(family: str, seed: int = 0, *, size: tuple[int, int] = (8, 8), **changes: Any) -> Pyramid:
    """A model of two stages, grids of 8 x 8 and 4 x 4 for images of 8 x 8, with first values."""
    cls, options = FAMILIES[family]
    model = cls(size, 1, 10, **(options | changes))
    initialise(model, model.scheme, seed)
    return model


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    """Each of the two."""
    return request.param


def test_every_parameter_gets_a_gradient(family: str, images: Tensor) -> None:
    """No parameter is left without an effect on the loss."""
    model = small(family).double()
    model(images).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_images_do_not_see_each_other(family: str, images: Tensor) -> None:
    """In eval mode the logits of an image are the same alone as in a batch, to 1e-12."""
    model = small(family, dropout=0.3, stochastic_depth=0.3).double().eval()
    alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(model(images), alone, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # vmap has no rule for the CPU's fused attention
def test_two_models_run_as_one_batched_model(family: str, images: Tensor) -> None:
    """vmap over stacked parameters gives each model's own logits, to 1e-12."""
    models = [small(family, seed).double().eval() for seed in (0, 1)]
    stacked, buffers = stack_module_state(models)
    logits = torch.vmap(lambda p, b: functional_call(models[0], (p, b), (images,)))(stacked, buffers)
    torch.testing.assert_close(logits, torch.stack([model(images) for model in models]), rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # vmap has no rule for the CPU's fused attention
def test_dropped_branches_differ_between_batched_models(family: str, images: Tensor) -> None:
    """Under vmap with randomness, stochastic depth and dropout act, and differ from model to model."""
    models = [small(family, dropout=0.2, stochastic_depth=0.5).double().train() for _ in range(2)]
    stacked, buffers = stack_module_state(models)
    run = torch.vmap(lambda p, b: functional_call(models[0], (p, b), (images,)), randomness="different")
    first, second = run(stacked, buffers)
    assert not torch.equal(first, second)


def test_the_model_can_be_exported(family: str, images: Tensor) -> None:
    """torch.export traces it, and the exported program gives the same logits, to 1e-12."""
    model = small(family).double().eval()
    exported = torch.export.export(model, (images,)).module()
    torch.testing.assert_close(exported(images), model(images), rtol=0, atol=1e-12)


def test_the_state_dict_goes_round(family: str, images: Tensor) -> None:
    """A model that loads another's state has its logits, exactly."""
    model, other = small(family, 0).eval(), small(family, 1).eval()
    assert not torch.equal(model(images.float()), other(images.float()))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(images.float()), other(images.float()))


def test_half_precision_gives_logits_in_the_images_precision(family: str, images: Tensor) -> None:
    """Under bfloat16 autocast the logits stay float32, and near those in full precision (within 5 %)."""
    model = small(family).eval()
    full = model(images.float())
    with torch.autocast("cpu", torch.bfloat16):
        half = model(images.float())
    assert half.dtype == torch.float32
    assert (half - full).norm() / full.norm() < 0.05


def test_first_values_are_those_of_the_official_code(family: str) -> None:
    """Linear weights, positions and token: deviation .02; convolutions: torch's own uniform; biases zero, norms one."""
    wide = {"cswin": {"dim": 96, "heads": [4, 4]}, "pvt": {"dims": [96, 96]}}[family]
    model = small(family, **wide)
    for name, parameter in model.named_parameters():
        owner = model.get_submodule(name.rpartition(".")[0])
        values, deviation = parameter.detach(), parameter.detach().std().item()
        if isinstance(owner, torch.nn.Conv2d):
            bound = owner.weight[0].numel() ** -0.5
            assert 0.9 * bound < values.abs().max() <= bound, name
        elif isinstance(owner, torch.nn.LayerNorm):
            assert torch.equal(values, torch.full_like(values, float(name.endswith("weight")))), name
        elif name.endswith("bias"):
            assert not values.any(), name
        else:
            assert deviation == pytest.approx(0.02, rel=0.3 if parameter.numel() < 1000 else 0.1), name


def test_seeds_give_other_values_and_no_constructor_draw_remains(family: str) -> None:
    """The same seed gives the same model, another seed another one."""
    first, again, other = small(family, 0), small(family, 0), small(family, 1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    drawn = [a for a, b in zip(first.parameters(), other.parameters(), strict=True) if not torch.equal(a, b)]
    assert len(drawn) > 10


def test_intermediate_maps_lead_to_the_logits(family: str, images: Tensor) -> None:
    """There is one map a block, on its stage's grid, and with them the same logits as without, exactly."""
    model = small(family).double().eval()
    logits, maps = model.forward_intermediates(images)
    assert torch.equal(logits, model(images))
    assert torch.equal(logits, model.head(model.forward_features(images)))
    assert [tuple(each.shape) for each in maps] == [(3, 8, 8, 8), (3, 16, 4, 4), (3, 16, 4, 4)]
    entering = model._embed(model.stages[1], maps[0])
    after = model.stages[1].blocks[0](entering)[:, -16:]  # behind PVT's class token
    torch.testing.assert_close(maps[1], after.mT.reshape(3, 16, 4, 4), rtol=0, atol=1e-12)


def test_attention_received_is_one_where_attention_is_uniform(family: str, images: Tensor) -> None:
    """With zero queries every place receives 1, in stripes, windows and reduced grids, to 1e-12."""
    model = small(family).double().eval()
    maps = model.attention_maps(images)
    assert any((each - 1).abs().max() > 1e-4 for each in maps)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("attention.qkv.weight", "attention.q.weight")):
                parameter[: parameter.shape[1]] = 0
    for each in model.attention_maps(images):
        torch.testing.assert_close(each, torch.ones_like(each), rtol=0, atol=1e-12)


def test_attention_weights_of_the_last_block_sum_to_one(family: str, images: Tensor) -> None:
    """Each query of the last block shares out exactly 1; CSWin has no class token, PVT has one."""
    weights = small(family).double().eval().last_self_attention(images)
    tokens = {"cswin": 16, "pvt": 17}[family]
    assert weights.shape == (3, 4, tokens, tokens)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4, tokens, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("family", "size", "options"),
    [
        ("cswin", (28, 28), {"stem_kernel": 3, "stem_stride": 2, "split_sizes": [2, 7]}),
        ("cswin", (28, 28), {"stem_kernel": 7, "stem_stride": 4, "split_sizes": [1, 4]}),  # 7 x 7, then 4 x 4
        ("cswin", (8, 16), {"split_sizes": [4, 8]}),
        ("pvt", (28, 28), {"patch_sizes": [2, 2]}),
        ("pvt", (8, 16), {}),
    ],
)
def test_other_image_sizes(family: str, size: tuple[int, int], options: dict[str, Any]) -> None:
    """Images of 28 x 28 and non-square ones give logits, and maps on the grids of the stages."""
    model = small(family, size=size, **options).eval()
    logits, maps = model.forward_intermediates(torch.randn(2, 1, *size))
    assert logits.shape == (2, 10)
    assert [tuple(each.shape[2:]) for each in maps] == [
        stage.embedding.grid for stage in model.stages for _ in stage.blocks
    ]


def test_three_stages_or_one(family: str, images: Tensor) -> None:
    """The lists' length is the number of stages."""
    one = {name: [value[-1]] for name, value in FAMILIES[family][1].items() if isinstance(value, list)}
    if family == "cswin":
        one["split_sizes"] = [8]
    assert len(small(family, **one).stages) == 1
    assert small(family, **one)(images.float()).shape == (3, 10)


def test_stochastic_depth_rises_from_the_first_block_to_the_last(family: str) -> None:
    """Of three blocks in two stages, the probabilities are 0, half and all of what is asked for."""
    model = small(family, stochastic_depth=0.2)
    rates = [block.stochastic_depth.rate for stage in model.stages for block in stage.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2])
