"""The cost of models against closed forms, papers, and what autograd keeps of real tensors."""

from __future__ import annotations

import logging
import time

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablate.models.cswin import CSWinTransformer
from ablate.models.measure import Cost, measure
from ablate.models.mixers.self_attention import SelfAttention
from ablate.models.pvt import PyramidVisionTransformer


class OverTokens(nn.Module):
    """Apply a layer to tokens, (B, N, D), that come as images of N channels and 1 x D pixels: without a copy."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.layer(images_BCHW.flatten(2))


class Total(nn.Module):
    """One number for all images."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return images_BCHW.sum()


def _published(name: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name)


def test_a_linear_layer() -> None:
    """D inputs to E outputs at N places: N D E multiply-adds; its input is the image, so that nothing is kept."""
    cost = measure(OverTokens(nn.Linear(6, 5)), (1, 6), 7)
    assert cost == Cost(parameters=35, macs=7 * 6 * 5, flops=2 * 7 * 6 * 5, activation_bytes=0)


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_a_convolution(groups: int) -> None:
    """Kernel area x input channels of the group x outputs x places, strided and padded."""
    layer = nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=groups, bias=False)
    macs = 9 * (8 // groups) * 16 * 4 * 5
    assert measure(layer, (8, 10), 8) == Cost(9 * (8 // groups) * 16, macs, 2 * macs, 0)


def test_an_einsum_and_a_matrix_product() -> None:
    """Products without a layer count as well: N N D in each of two."""

    class Products(nn.Module):
        def forward(self, images_BCHW: Tensor) -> Tensor:
            tokens = images_BCHW.flatten(2)
            return torch.einsum("bdn,bdm->bnm", tokens, tokens) @ tokens.mT

    assert measure(Products(), (2, 3), 5).macs == 2 * 6 * 6 * 5


def test_an_attention_layer() -> None:
    """N tokens of width D: 4 N D D for the projections, 2 N N D for the fused kernel.

    Kept, in float32: q, k and v, which lie in one tensor, the mixed values, and a sum for each query and head.
    """
    n, d, heads = 10, 12, 3
    cost = measure(OverTokens(SelfAttention(d, 0.0, heads=heads)), (1, d), n)
    assert cost.macs == 4 * n * d * d + 2 * n * n * d
    assert cost.activation_bytes == 4 * (3 * n * d + n * d + n * heads)


def test_torchs_own_attention_takes_no_uncounted_path() -> None:
    """nn.TransformerEncoderLayer, which fuses everything in evaluation, has its attention and its MLP counted."""
    n, d, hidden = 10, 12, 20
    layer = nn.TransformerEncoderLayer(d, 2, hidden, batch_first=True)
    assert measure(OverTokens(layer), (1, d), n).macs == 4 * n * d * d + 2 * n * n * d + 2 * n * d * hidden


@pytest.mark.parametrize(("dropout", "masks"), [(0.0, 0), (0.1, 1)])
def test_what_a_two_layer_mlp_keeps(dropout: float, masks: int) -> None:
    """GELU keeps its input, the second layer its input, and dropout a mask of 4 bytes a value, as on the CPU.

    The first layer's input is the image, and the output is of no use to the backward pass.
    """
    n, d, hidden = 7, 6, 20
    mlp = nn.Sequential(nn.Linear(d, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, d))
    cost = measure(OverTokens(mlp), (1, d), n)
    assert cost.activation_bytes == n * hidden * 4 * (2 + masks)
    assert cost.macs == 2 * n * d * hidden


def test_a_storage_counts_once() -> None:
    """A tensor that several operations keep, whole or a view of it, is counted once."""

    class Shared(nn.Module):
        def forward(self, images_BCHW: Tensor) -> Tensor:
            x = self.scale(images_BCHW)
            return x.sin() + x.cos() + x.flatten(1)[:, :4].tanh().sum()

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Conv2d(1, 1, 1)

    assert measure(Shared(), (4, 4), 1).activation_bytes == 4 * (16 + 4)  # x, and what tanh gave


def test_parameters_are_the_trainable_ones_and_shared_ones_count_once() -> None:
    """Frozen values and a second use of the same layer add nothing."""
    layer, frozen = nn.Linear(4, 4), nn.Linear(4, 4).requires_grad_(False)
    assert measure(OverTokens(nn.Sequential(layer, layer, frozen)), (1, 4), 3).parameters == 20


def test_it_agrees_with_what_autograd_keeps_of_real_tensors() -> None:
    """On real tensors in training, the bytes kept for three images less those for two are the same."""
    torch.manual_seed(0)
    model = CSWinTransformer(
        (8, 8), 1, 10, dim=8, depths=[1, 1], split_sizes=[2, 4], heads=[2, 2], stem_kernel=3, stem_stride=1, dropout=0.1
    )
    given = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def kept(batch: int) -> int:
        images = torch.randn(batch, 1, 8, 8)
        seen: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            seen[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = model(images)
        outside = {images.untyped_storage().data_ptr(), *given}
        assert output.requires_grad
        return sum(t.untyped_storage().nbytes() for address, t in seen.items() if address not in outside)

    assert measure(model, (8, 8), 1).activation_bytes == kept(3) - kept(2)


@pytest.mark.parametrize(
    ("name", "gigamacs"),
    [("deit_small_patch16_224", 4.6), ("vit_base_patch16_224", 17.6), ("resnet50", 4.1), ("mixer_b16_224", 12.6)],
)
def test_published_models_cost_what_their_papers_say(name: str, gigamacs: float) -> None:
    """DeiT-S (4.6), ViT-B/16 (17.6), ResNet-50 (4.1) and Mixer-B/16 (12.6 GMACs), within 2 %."""
    model = _published(name)
    cost = measure(model, (224, 224), 3)
    assert cost.macs / 1e9 == pytest.approx(gigamacs, rel=0.02)
    assert cost.flops == 2 * cost.macs
    assert cost.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("cls", "options", "gigamacs"),
    [
        (CSWinTransformer, {}, 4.3),
        (PyramidVisionTransformer, {"depths": [2, 2, 2, 2]}, 1.9),
        (PyramidVisionTransformer, {}, 3.8),
    ],
)
def test_our_own_models_cost_what_their_papers_say(cls: type, options: dict, gigamacs: float) -> None:
    """CSWin-T (4.3 GMACs), PVT-Tiny and Small (1.9, 3.8), within 2 %."""
    with torch.device("meta"):
        model = cls((224, 224), 3, 1000, **options)
    assert measure(model, (224, 224), 3).macs / 1e9 == pytest.approx(gigamacs, rel=0.02)


def test_a_vit_l_is_measured_fast_and_without_its_weights() -> None:
    """ViT-L/16 on the meta device takes below 5 seconds of this process (0.4 on a quiet core): nothing is computed."""
    model = _published("vit_large_patch16_224")
    start = time.process_time()
    cost = measure(model, (224, 224), 3)
    assert time.process_time() - start < 5
    assert cost.parameters == 304_326_632
    n, d = 197, 1024
    assert cost.macs == 24 * (12 * n * d * d + 2 * n * n * d) + 196 * 768 * d + d * 1000


def test_the_model_and_the_generators_are_left_as_they_were() -> None:
    """Values, buffers, modes of every module and random states are afterwards what they were; float64 too."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4, 2))
    model.double().train()
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    assert measure(model, (3, 3), 1).activation_bytes > 0
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model(torch.randn(2, 1, 3, 3, dtype=torch.float64)).dtype == torch.float64


def test_the_device_and_the_type_of_the_weights_make_no_difference() -> None:
    """float32, float64, bfloat16 and meta models cost the same: what is measured is float32."""
    made = [OverTokens(SelfAttention(8, 0.1, heads=2)) for _ in range(4)]
    costs = {measure(model, (1, 8), 5) for model in (made[0], made[1].double(), made[2].bfloat16(), made[3].to("meta"))}
    assert len(costs) == 1


def test_a_model_that_fails_is_left_in_its_mode() -> None:
    """An image size that does not fit raises the model's own error, and the model is in training as before."""
    model = OverTokens(nn.Linear(4, 2)).train()
    with pytest.raises(RuntimeError):
        measure(model, (1, 3), 5)
    assert model.training
    assert F.linear(torch.ones(1, 4), model.layer.weight).shape == (1, 2)


def test_logits_of_another_number_of_classes_are_refused() -> None:
    """With the classes known, the shape is told with B for the batch; without them it is not looked at."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 5))
    assert measure(model, (2, 2), 1, 5) == measure(model, (2, 2), 1)
    told = r"^the model gives \(B, 5\) for 10 classes; it must give \(B, classes\)$"
    with pytest.raises(ValueError, match=told):
        measure(model, (2, 2), 1, 10)
    with pytest.raises(ValueError, match=r"gives \(B, 1, 2, 2\) for 10"):
        measure(nn.Identity(), (2, 2), 1, 10)
    with pytest.raises(ValueError, match=r"gives \(\) for 10"):
        measure(Total(), (2, 2), 1, 10)
    with pytest.raises(ValueError, match="gives a tuple, not logits"):
        measure(OverTokens(nn.LSTM(2, 10)), (1, 2), 1, 10)


def test_an_error_is_raised_and_not_logged_as_well(caplog: pytest.LogCaptureFixture) -> None:
    """torch's log of shapes that do not fit is silent while a model is measured, and heard afterwards."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    logger.addHandler(caplog.handler)  # torch's loggers hand nothing on
    try:
        with pytest.raises(RuntimeError):
            measure(OverTokens(nn.Linear(4, 2)), (1, 3), 5)
        assert caplog.records == []
        logger.error("heard")
        assert len(caplog.records) > 0
    finally:
        logger.removeHandler(caplog.handler)
