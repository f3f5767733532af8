"""The first values of every parameter: which distribution, and which numbers.

*Which distribution*: a part gives its parameters **roles**, and a scheme says how each role is drawn. So a
part knows no scheme, and a scheme no part. A part's ``roles`` map the names of its parameters, as seen
from the part, to a role or to a `Draw` of its own. Without a role, the weights of torch's linear and
convolution layers are ``dense``, those of its norms ones, and all biases of these zeros; any other
parameter without a role is an error, since its values would depend on something else than the seed.

*Which numbers*: each parameter has a random stream of its own, keyed by the seed and the parameter's name.
Variants therefore share the first values of all that they have in common: a class token, another head or
one block more changes no other weight.

``jax`` is big_vision's (models/vit.py, which names Flax's initialisers, and Flax's defaults where it does
not) and so that of SimpleViT and ViT. ``flax`` is Flax's defaults throughout, with a zero classifier: that of
MLP-Mixer (arXiv 2105.01601; big_vision models/mlp_mixer.py). ``truncated_normal`` is that of DeiT (arXiv
2012.12877) and of the timm 0.3.2 it was made with: torch's default for the patch convolution, and for all
other weights, the class token and the positions a normal of deviation .02, truncated at -2 and 2, that is at
100 deviations (timm 1.0 draws the class token with 1e-6 instead).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import MappingProxyType

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from ablate.draws import derive

#: (shape, inputs of each unit of the layer, generator) -> values, float32. A parameter that belongs to no
#: layer with a weight matrix counts its own last dimension as inputs.
Draw = Callable[[torch.Size, int, Generator], Tensor]

#: Deviation of a standard normal cut off at -2 and 2, by which Flax divides.
_DEVIATION_WITHIN_2 = 0.87962566103423978


def zeros(shape: torch.Size, _fan_in: int, _generator: Generator) -> Tensor:
    """Zeros."""
    return torch.zeros(shape)


def ones(shape: torch.Size, _fan_in: int, _generator: Generator) -> Tensor:
    """Ones."""
    return torch.ones(shape)


def lecun_normal(shape: torch.Size, fan_in: int, generator: Generator) -> Tensor:
    """A normal cut off at two deviations, of variance 1 / fan_in after the cut: Flax's default for kernels."""
    deviation = fan_in**-0.5 / _DEVIATION_WITHIN_2
    bound = 2 * deviation
    return nn.init.trunc_normal_(torch.empty(shape), 0.0, deviation, -bound, bound, generator=generator)


def torch_uniform(shape: torch.Size, fan_in: int, generator: Generator) -> Tensor:
    """Uniform within 1 / sqrt(fan_in): torch's default for the weights and biases of linear and convolution."""
    bound = fan_in**-0.5
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def inverse_root_normal(shape: torch.Size, _fan_in: int, generator: Generator) -> Tensor:
    """A normal of deviation 1 / sqrt(width), the width being the last dimension."""
    return normal(shape[-1] ** -0.5)(shape, 0, generator)


def normal(deviation: float) -> Draw:
    """A normal of this deviation."""

    def draw(shape: torch.Size, _fan_in: int, generator: Generator) -> Tensor:
        return torch.empty(shape).normal_(0.0, deviation, generator=generator)

    return draw


def truncated_normal(deviation: float) -> Draw:
    """A normal of this deviation, cut off at -2 and 2 as in timm."""

    def draw(shape: torch.Size, _fan_in: int, generator: Generator) -> Tensor:
        return nn.init.trunc_normal_(torch.empty(shape), 0.0, deviation, -2.0, 2.0, generator=generator)

    return draw


def xavier_uniform(stacked: int = 1) -> Draw:
    """Glorot's uniform, where the weight is ``stacked`` layers on top of one another, each drawn as if alone."""

    def draw(shape: torch.Size, fan_in: int, generator: Generator) -> Tensor:
        fan_out = shape[0] // stacked * math.prod(shape[2:])
        bound = math.sqrt(6 / (fan_in + fan_out))
        return torch.empty(shape).uniform_(-bound, bound, generator=generator)

    return draw


_DEIT = truncated_normal(0.02)
#: Scheme -> role -> draw.
SCHEMES: Mapping[str, Mapping[str, Draw]] = MappingProxyType(
    {
        "jax": {
            "patches": lecun_normal,
            "patches_bias": zeros,
            "position": inverse_root_normal,
            "token": zeros,
            "qkv": xavier_uniform(stacked=3),
            "encoder": xavier_uniform(),
            "mlp_bias": normal(1e-6),
            "representation": lecun_normal,
            "classifier": zeros,
            "dense": lecun_normal,
            "zeros": zeros,
            "ones": ones,
        },
        "flax": {
            "patches": lecun_normal,
            "patches_bias": zeros,
            "position": inverse_root_normal,
            "token": zeros,
            "qkv": lecun_normal,
            "encoder": lecun_normal,
            "mlp_bias": zeros,
            "representation": lecun_normal,
            "classifier": zeros,
            "dense": lecun_normal,
            "zeros": zeros,
            "ones": ones,
        },
        "truncated_normal": {
            "patches": torch_uniform,
            "patches_bias": torch_uniform,
            "position": _DEIT,
            "token": _DEIT,
            "qkv": _DEIT,
            "encoder": _DEIT,
            "mlp_bias": zeros,
            "representation": _DEIT,
            "classifier": _DEIT,
            "dense": _DEIT,
            "zeros": zeros,
            "ones": ones,
        },
    }
)


@torch.no_grad()
def initialise(model: nn.Module, scheme_name: str, seed: int) -> None:
    """Draw every parameter as the scheme says, in place; drawn on the CPU in float32 wherever it lies.

    Raises ValueError for a parameter whose distribution is not known, and for a role of a parameter that
    does not exist.
    """
    scheme = SCHEMES[scheme_name]
    roles = _declared_roles(model)
    for name, parameter in model.named_parameters():
        owner_name, _, own_name = name.rpartition(".")
        owner = model.get_submodule(owner_name)
        role = roles.get(name) or _default_role(owner, own_name)
        draw = scheme.get(role) if isinstance(role, str) else role
        if draw is None:
            raise ValueError(
                f"it is not said how {name} is first drawn: its part needs an entry for it in `roles`, one of "
                f"{', '.join(scheme)} or a function (shape, fan_in, generator) -> tensor"
                + (f"; {role!r} is none of them" if role else "")
            )
        generator = Generator().manual_seed(derive(seed, f"init/{name}"))
        parameter.copy_(draw(parameter.shape, _fan_in(owner, parameter), generator))


def _declared_roles(model: nn.Module) -> dict[str, str | Draw]:
    """Full name of a parameter -> its role; a part's word counts before that of a part inside it."""
    roles: dict[str, str | Draw] = {}
    for prefix, module in model.named_modules():
        declared: Mapping[str, str | Draw] = getattr(module, "roles", {})
        for name, role in declared.items():
            try:
                attrgetter(name)(module)  # may be None: a bias that an option leaves out
            except AttributeError:
                kind = type(module).__name__
                raise ValueError(f"{kind} gives a role to {name!r}, but has no such parameter") from None
            roles.setdefault(f"{prefix}.{name}" if prefix else name, role)
    return roles


def _default_role(owner: nn.Module, name: str) -> str | None:
    if isinstance(owner, nn.Linear | _ConvNd):
        return {"weight": "dense", "bias": "zeros"}.get(name)
    if isinstance(owner, nn.LayerNorm | nn.RMSNorm | nn.GroupNorm | _BatchNorm):
        return {"weight": "ones", "bias": "zeros"}.get(name)
    return None


def _fan_in(owner: nn.Module, parameter: Tensor) -> int:
    weight = getattr(owner, "weight", None)
    if isinstance(weight, Tensor) and weight.dim() > 1:
        return weight[0].numel()
    return parameter.shape[-1] if parameter.dim() else 1
