"""A point in the space of parts: the model section of a Recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ablate.recipe.part import FeedForward, Head, Mixer, Norm, Position, Readout, Stem
from ablate.recipe.section import NEUTRAL, Off, Probability, Section


class Model(Section):
    """A model of the space, part by part."""

    dim: Annotated[int, Field(gt=0)]
    """Width of the tokens."""
    depth: Annotated[int, Field(gt=0)]
    """Number of encoder blocks."""
    stem: Stem
    """From image to patch tokens."""
    position: Position
    """Where a token is: an embedding that is added, or a bias of the attention."""
    position_at: Literal["stem", "every_layer", "every_layer_shared"] = "stem"
    """`stem`: once, to the tokens that enter the first block. `every_layer`: to those that enter each block, with
    parameters of each block's own, or `every_layer_shared`, with one set for all (ViT, appendix D.4)."""
    position_covers: Literal["patches", "all"]
    """`patches`: added before the class token is prepended (big_vision).
    `all`: the class token has a position too (ViT, timm)."""
    mixer: Mixer
    """How tokens mix."""
    feed_forward: FeedForward
    """How channels mix."""
    norm: Norm
    """Normalisation before each residual branch and at the end."""
    final_norm: Literal["before_pooling", "after_pooling"]
    """Where the last norm stands: before pooling (big_vision), or after it (timm with `avg` pooling)."""
    readout: Readout
    """From tokens to one vector per image."""
    head: Head
    """From that vector to logits."""
    layer_scale: Annotated[float, Field(gt=0.0)] | Off = "off"
    """First value of a learned gain per channel on every residual branch (CaiT, arXiv 2103.17239), or `off`."""
    branch_factor: Annotated[float, Field(gt=0.0)] = 1.0
    """Constant factor of every residual branch: 2 in DeepViT-S and -L, whose code halves the stream that the norms
    read and doubles what is added to it; 1 elsewhere."""
    dropout: Probability
    """Probability of dropout where ViT puts it: after every dense layer except q, k, v, and after the position
    embedding."""
    attention_dropout: Annotated[Probability, NEUTRAL] = 0.0
    """Probability of dropout of the attention weights, for mixers that have some (Vaswani et al.; ViT has none)."""
    stochastic_depth: Probability = 0.0
    """Probability that the last block's branches are left out in training; earlier blocks' grow linearly from 0
    (arXiv 1603.09382)."""
    stochastic_depth_rule: Annotated[Literal["linear", "constant"], NEUTRAL] = "linear"
    """`linear`: as that. `constant`: the same probability in all blocks (ResMLP)."""
    head_bias: Annotated[float, NEUTRAL] = 0.0
    """First value of the biases of the head's last layer, added to those of `init`: -6.9 with a sigmoid loss makes
    each of 1,000 classes improbable at first (big_vision)."""
    init: Literal["jax", "flax", "truncated_normal"]
    """`jax`: as big_vision's ViT (Xavier-uniform q, k, v each and MLP; zero head). `flax`: LeCun-normal kernels and
    zero head, Flax's defaults (MLP-Mixer). `truncated_normal`: std .02 (timm, DeiT)."""
