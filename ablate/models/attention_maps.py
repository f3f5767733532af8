"""What a model attends to: the one place that asks any model for its attention and its features.

Attention is given as maps over the grid of patches, for each query that the logits are read from: the class token,
the distillation token, a pooling probe, or, where the tokens are averaged, all tokens alike. A map holds weights:
what is missing from a sum of 1 went to tokens that lie on no patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ablate.models.attention_readings import CHANGING, Attention, Reading, of_blocks, of_last, rollout_or_reason
from ablate.models.pyramid import Pyramid
from ablate.models.timm_door import attention_weights, intermediate_features, window_attention_weights
from ablate.models.vision_transformer import Intermediates, VisionTransformer


class NoAttentionError(ValueError):
    """A model that has no attention to show; the message says why."""


def attention(model: nn.Module, images_BCHW: Tensor, block: int | None = None) -> Attention:
    """The attention of a block (counted from 1; None: the last), and the rollout of all blocks up to it.

    A model in stages has no rollout; of a block of it whose heads see windows or a reduced grid there is the
    attention that each place receives. Raises `NoAttentionError` for a model that has none to show, and ValueError
    for a block that it does not have.
    """
    if isinstance(model, VisionTransformer):
        return _of_space(model, images_BCHW, block)
    if isinstance(model, Pyramid):
        return _of_pyramid(model, images_BCHW, block)
    if _is_timms(model):
        return _of_timm(model, images_BCHW, block)
    raise NoAttentionError(f"how {type(model).__name__} attends is not known here")


def intermediate_layers(model: nn.Module, images_BCHW: Tensor) -> tuple[Tensor, ...]:
    """The patches' features after each block, (B, D, rows, columns), before the final norm (`get_intermediate_layers`).

    Raises ValueError for a model of which they are not to be had.
    """
    if isinstance(model, VisionTransformer):
        grid, prefix = _grid(model), model.readout.prefix_tokens
        _, seen = model.forward_intermediates(images_BCHW)
        return tuple(tokens_BND[:, prefix:].mT.unflatten(-1, grid) for tokens_BND in seen.tokens)
    if isinstance(model, Pyramid):
        return model.forward_intermediates(images_BCHW)[1]
    if not _is_timms(model):
        raise ValueError(f"how {type(model).__name__} computes its features is not known here")
    try:
        return intermediate_features(model, images_BCHW)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _of_space(model: VisionTransformer, images_BCHW: Tensor, block: int | None) -> Attention:
    for each in model.blocks:
        if not hasattr(each.mixer, "forward_with_weights"):
            raise NoAttentionError(f"its tokens are mixed by {type(each.mixer).__name__}, which has no attention")
    grid, number = _grid(model), _number(block, len(model.blocks))
    _, seen = model.forward_intermediates(images_BCHW, attention_weights=True)
    assert seen.attention is not None
    if number == len(model.blocks) and not model.readout.prefix_tokens:
        probe_BAN = _probe(model, seen)
        if probe_BAN is not None:
            return _of_probe(probe_BAN, seen.attention, grid)
    prefix = model.readout.prefix_tokens
    return of_blocks(seen.attention[:number], grid, prefix, prefix)


def _of_probe(probe_BAN: Tensor, weights: Sequence[Tensor], grid: tuple[int, int]) -> Attention:
    """That of the readout's own probe, which attends over the tokens after the last block."""
    rolled_BNN, why = rollout_or_reason(weights)
    rolled_BHW = None
    if rolled_BNN is not None:
        rolled_BHW = (probe_BAN.mean(1, keepdim=True) @ rolled_BNN).squeeze(1).unflatten(-1, grid)
    return Attention(len(weights), (Reading("pooling probe", probe_BAN.unflatten(-1, grid), rolled_BHW),), why)


def _probe(model: VisionTransformer, seen: Intermediates) -> Tensor | None:
    """The weights with which the readout's probe reads the tokens, (B, A, N); None where it has none."""
    read = getattr(model.readout, "forward_with_weights", None)
    if read is None:
        return None
    tokens_BND = model.norm(seen.tokens[-1]) if model.final_norm == "before_pooling" else seen.tokens[-1]
    weights_BAN: Tensor = read(tokens_BND)[1]
    return weights_BAN


def _of_pyramid(model: Pyramid, images_BCHW: Tensor, block: int | None) -> Attention:
    stage_of = [stage for stage in model.stages for _ in stage.blocks]
    number = _number(block, len(stage_of))
    grid, prefix = model.stages[-1].embedding.grid, model.readout.prefix_tokens
    if number == len(stage_of):
        try:
            weights_BANN = model.last_self_attention(images_BCHW)
        except ValueError:  # its heads see stripes; what is left is the attention received
            pass
        else:
            return of_last(weights_BANN, grid, prefix, prefix, number)
    received_BAHW = model.attention_maps(images_BCHW)[number - 1]
    # From multiples of uniform attention to weights: a class token in the last stage is a key, too.
    keys = received_BAHW[0, 0].numel() + (prefix if stage_of[number - 1] is model.stages[-1] else 0)
    return _received(received_BAHW / keys, number)


def _of_timm(model: Any, images_BCHW: Tensor, block: int | None) -> Attention:
    modules = [module for module in model.modules() if hasattr(module, "attn_drop")]
    if not modules:
        raise NoAttentionError(f"timm's {type(model).__name__} has no attention")
    number = _number(block, len(modules))
    prefix = getattr(model, "num_prefix_tokens", 0)
    # A distilled one reads two; registers are prefix tokens that nobody reads.
    read = min(prefix, 1 + hasattr(model, "dist_token")) if getattr(model, "global_pool", "") == "token" else 0
    try:
        rows, columns = intermediate_features(model, images_BCHW)[-1].shape[-2:]
        weights = attention_weights(model, images_BCHW)
    except TypeError as error:
        return _of_timms_stages(model, images_BCHW, modules, number, error)
    if len({weights_BANN.shape for weights_BANN in weights}) == 1:
        return of_blocks(weights[:number], (rows, columns), prefix, read)
    return of_last(weights[number - 1], (rows, columns), prefix, read, number)


def _of_timms_stages(
    model: nn.Module, images_BCHW: Tensor, modules: list[nn.Module], number: int, why: TypeError
) -> Attention:
    """Where heads see windows or a reduced grid: the last block's attention if it is global, else what is received."""
    if number == len(modules):
        try:
            (weights_BANN,) = attention_weights(_Only(model, modules[-1]), images_BCHW)
            rows, columns = intermediate_features(model, images_BCHW)[-1].shape[-2:]
        except TypeError:  # nor is the last block's over all tokens
            pass
        else:
            return of_last(weights_BANN, (rows, columns), 0, 0, number)
    try:
        windows = window_attention_weights(model, images_BCHW)[number - 1]
    except TypeError:  # no Swin Transformer
        raise NoAttentionError(str(why)) from why
    return _received(windows.dense().mean(2).unflatten(-1, windows.grid), number)


class _Only(nn.Module):
    """A model of which only one module is seen by who looks for its modules."""

    def __init__(self, model: nn.Module, seen: nn.Module) -> None:
        super().__init__()
        self.seen = seen
        self._forward = model.forward  # a method, so that the other modules are not this one's

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """As the model."""
        output: Tensor = self._forward(images_BCHW)
        return output


def _received(received_BAHW: Tensor, block: int) -> Attention:
    return Attention(block, (Reading("attention received, mean over all queries", received_BAHW, None),), CHANGING)


def _grid(model: VisionTransformer) -> tuple[int, int]:
    grid: tuple[int, int] | None = getattr(model.stem, "grid", None)
    if grid is None:
        raise NoAttentionError(f"the tokens of its stem {type(model.stem).__name__} lie on no grid to draw")
    return grid


def _number(block: int | None, blocks: int) -> int:
    if block is not None and not 1 <= block <= blocks:
        raise ValueError(f"there is no block {block}: this model's are 1 to {blocks}")
    return blocks if block is None else block


def _is_timms(model: nn.Module) -> bool:
    return any(base.__module__.startswith("timm.") for base in type(model).__mro__)
