"""timm's models: to build one, and to look inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ablate.parts import Option
from ablate.timm_source import DECIDED_ELSEWHERE, keyword_arguments, model_names, takes
from ablate.wording import listing, nearest

#: What timm's constructors raise for arguments that do not fit one another.
_REFUSALS = (
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    ZeroDivisionError,
)


def build_timm(
    name: str, options: Mapping[str, Any], image_size: tuple[int, int], channels: int, classes: int
) -> nn.Module:
    """Make timm's model ``name`` from scratch, for images of ``image_size`` (height, width), px.

    The size is told to models that are built for one. First weights come from torch's global generator, as timm
    draws them. Raises ValueError, with timm's own words where it has some, for a name or options that do not fit,
    and for a model that does not classify.
    """
    known = model_names()
    if name not in known:
        tag = "; a tag names pretrained weights, and training starts from scratch" if "." in name else ""
        raise ValueError(f"timm has no model named {name!r}{tag}{nearest(name.partition('.')[0], known)}")
    _check_names(name, options, keyword_arguments(name))
    given = {**options, "num_classes": classes, "in_chans": channels}
    sized = given | {"img_size": tuple(image_size)}
    told = takes(name, "img_size")
    if told is not None:
        return _create(name, sized if told else given)
    before = torch.get_rng_state()
    try:
        return _create(name, sized)
    except ValueError as error:
        if "img_size" not in str(error):
            raise
    torch.set_rng_state(before)
    return _create(name, given)


def _check_names(name: str, options: Mapping[str, Any], known: Mapping[str, Option] | None) -> None:
    """Refuse what the source says is not there, and what no option may decide."""
    for key in options:
        if key in DECIDED_ELSEWHERE:
            raise ValueError(f"timm/{name}: {key!r} is not for an option to decide")
        if known is not None and key not in known:
            raise ValueError(f"timm/{name} has no option {key!r}; {listing(known)}{nearest(key, known)}")


def _create(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    import timm  # here, so that models of the space need no timm

    try:
        model: nn.Module = timm.create_model(name, pretrained=False, **arguments)
    except _REFUSALS as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"timm/{name} cannot be built so: {reason}") from error
    if getattr(model, "num_classes", None) != arguments["num_classes"]:
        raise ValueError(f"timm/{name} is an encoder without a classifier")
    return model


def intermediate_features(model: nn.Module, images_BCHW: Tensor) -> tuple[Tensor, ...]:
    """The feature maps after each block or stage that timm exposes, (B, C', H', W') each; prefix tokens left out.

    Raises TypeError for a model that exposes none.
    """
    if not hasattr(model, "forward_intermediates"):
        raise TypeError(f"timm's {type(model).__name__} does not expose its intermediate features")
    forward: Any = model.forward_intermediates
    maps: Sequence[Tensor] = forward(images_BCHW, intermediates_only=True)
    return tuple(maps)


def attention_weights(model: nn.Module, images_BCHW: Tensor) -> tuple[Tensor, ...]:
    """The attention weights of each block, (B, A, N, N), for models whose attention is over all tokens.

    Whether dropout and stochastic depth act is up to the mode the model is in. Raises TypeError where the model
    has no attention, or one over windows (see `window_attention_weights`) or over other keys than its queries.
    """
    name = type(model).__name__
    seen = _record(model, images_BCHW)
    for place, weights in seen.items():
        if weights.dim() != 4 or len(weights) != len(images_BCHW):
            hint = "; window_attention_weights gives them" if _windowed_blocks(model) else ""
            raise TypeError(f"{name} attends within windows at {place}, so its weights are not (B, A, N, N){hint}")
        queries, keys = weights.shape[-2:]
        if queries != keys:
            raise TypeError(f"{name} attends from {queries} queries to {keys} keys at {place}, so not token to token")
    return tuple(seen.values())


@dataclass(frozen=True)
class WindowWeights:
    """The attention weights of one block within windows, and where the windows lie."""

    weights: Tensor
    """(B, W windows, A, M, M), M tokens a window; each row sums to 1."""
    grid: tuple[int, int]
    """Rows and columns of the block's tokens."""
    places: Tensor
    """(W, M): which of the grid's tokens, counted row by row, each window holds; -1 for padding."""

    def dense(self) -> Tensor:
        """The same between all N tokens of the grid, (B, A, N, N), zero across windows; padding is left out."""
        B, _, A = self.weights.shape[:3]
        N = self.grid[0] * self.grid[1]
        # Padding goes to a row and column N, which are cut off.
        places_WM = torch.where(self.places < 0, N, self.places)
        cells_WMM = places_WM[:, :, None] * (N + 1) + places_WM[:, None, :]
        values = self.weights.transpose(1, 2).reshape(B, A, -1)
        dense = self.weights.new_zeros(B, A, (N + 1) ** 2)
        dense = dense.index_copy(-1, cells_WMM.flatten(), values)
        return dense.view(B, A, N + 1, N + 1)[..., :N, :N]


def window_attention_weights(model: nn.Module, images_BCHW: Tensor) -> tuple[WindowWeights, ...]:
    """The attention weights of each block of a Swin Transformer (arXiv 2103.14030), window by window.

    Raises TypeError for any other model.
    """
    blocks = _windowed_blocks(model)
    if not blocks:
        raise TypeError(f"{type(model).__name__} is no Swin Transformer of timm, so where its windows lie is not known")
    grids: dict[str, tuple[int, int]] = {}

    def note_grid(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            grids[name] = (inputs[0].shape[1], inputs[0].shape[2])

        return hook

    handles = [block.register_forward_pre_hook(note_grid(name)) for name, block in blocks.items()]
    try:
        seen = _record(model, images_BCHW)
    finally:
        for handle in handles:
            handle.remove()
    found = []
    for name, block in blocks.items():
        places_WM = _places(grids[name], block.window_size, block.shift_size).to(images_BCHW.device)
        weights = seen[f"{name}.attn"].unflatten(0, (len(images_BCHW), len(places_WM)))
        found.append(WindowWeights(weights, grids[name], places_WM))
    return tuple(found)


def _places(grid: tuple[int, int], window: tuple[int, int], shift: tuple[int, int]) -> Tensor:
    """The grid's tokens on the way through Swin's block: shifted, padded below and right, cut into windows."""
    (H, W), (h, w) = grid, window
    tokens_HW = torch.arange(H * W).view(H, W).roll((-shift[0], -shift[1]), (0, 1))
    tokens_HW = nn.functional.pad(tokens_HW, (0, -W % w, 0, -H % h), value=-1)
    return tokens_HW.unflatten(0, (-1, h)).unflatten(2, (-1, w)).transpose(1, 2).reshape(-1, h * w)


def _windowed_blocks(model: nn.Module) -> dict[str, Any]:
    from timm.models.swin_transformer import SwinTransformerBlock

    return {name: module for name, module in model.named_modules() if isinstance(module, SwinTransformerBlock)}


def _record(model: nn.Module, images_BCHW: Tensor) -> dict[str, Tensor]:
    """Name of each attention module -> the weights that it multiplied its values with, before their dropout."""
    attentions = {n: m for n, m in model.named_modules() if isinstance(getattr(m, "attn_drop", None), nn.Module)}
    if not attentions:
        raise TypeError(f"{type(model).__name__} has no attention whose weights timm exposes")
    seen: dict[str, Tensor] = {}

    def note_weights(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_dropout: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[name] = inputs[0]

        return hook

    with _written_out(attentions.values()):
        handles = [m.attn_drop.register_forward_pre_hook(note_weights(n)) for n, m in attentions.items()]
        try:
            model(images_BCHW)
        finally:
            for handle in handles:
                handle.remove()
    silent = attentions.keys() - seen.keys()
    if silent:
        raise TypeError(f"{type(model).__name__} does not expose the attention weights of {min(silent)}")
    return {name: seen[name] for name in attentions}


@contextmanager
def _written_out(attentions: Any) -> Iterator[None]:
    """Attention as matmul and softmax: a fused kernel never holds the weights, and a hook would see nothing."""
    fused = [module for module in attentions if getattr(module, "fused_attn", False)]
    for module in fused:
        module.fused_attn = False
    try:
        yield
    finally:
        for module in fused:
            module.fused_attn = True
