"""A program of its own: be one of the processes of a Trial, and leave what came of each scenario in a file.

It is started with the variables that torchrun sets. Every scenario is a function of the `World`, whose result is
compared with that of a world of one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablate.data.batches import Batch, TrainBatches
from ablate.data.image_sets import MemoryImages
from ablate.draws import derive
from ablate.models.stochastic_depth import StochasticDepth
from ablate.recipe import Augment, Data
from ablate.training import world as world_module
from ablate.training.device import seed_generator
from ablate.training.loss import cross_entropy
from ablate.training.synchronised_norm import synchronise
from ablate.training.whole_batch import whole_batch_draws
from ablate.training.world import World

DATA = Data.model_validate(
    {
        "source": "digits",
        "image_size": 6,
        "channels": 3,
        "classes": 5,
        "mean": 0.5,
        "std": 0.5,
        "test_fraction": 0.25,
        "val_fraction": 0.0,
        "split_seed": 0,
        "evaluate_on": "test",
        "eval_resize": 6,
    }
)
AUGMENT = Augment.model_validate(
    {"crop": "off", "flip": True, "randaug": "off", "mixup": {"alpha": 0.8, "draw": "image"}}
)
BATCH = 11


def sums(world: World) -> dict[str, Any]:
    """Gradients of which some are missing, in buckets that hold two of them; a sum, and flags."""
    parameters = [nn.Parameter(torch.zeros(size)) for size in (3, 4, 50, 1, 2, 2)]
    for index, parameter in enumerate(parameters[:4]):
        parameter.grad = torch.arange(len(parameter), dtype=torch.float32) + index + world.rank
    if world.rank == world.size - 1:
        parameters[4].grad = torch.full((2,), 7.0)
    before, world_module._BUCKET_BYTES = world_module._BUCKET_BYTES, 28
    world.add_gradients(parameters)
    world_module._BUCKET_BYTES = before
    value = torch.tensor([1.0 + world.rank, 2.0])
    return {
        "gradients": [p.grad for p in parameters],
        "total": world.total(value),
        "value": value,
        "nobody": world.any(False),
        "last": world.any(world.rank == world.size - 1),
    }


def gathered(world: World) -> tuple[Tensor, ...]:
    """Rows of several kinds; of seven, rank 0 of three has two and the last has none of the first five."""
    numbers = torch.arange(7)
    own = world.shard.rows(7)
    rows = world.gather((numbers[own], numbers[own] % 2 == 0, numbers[own, None] / 3))
    few = torch.arange(5.0) if world.rank == 0 else torch.empty(0)
    return (*rows, *world.gather((few,)))


def disagreement(world: World) -> str:
    world.agree("the weather", "fine")
    try:
        world.agree("the step", str(world.rank))
    except RuntimeError as error:
        return str(error)
    return ""


class NormThenReLU(nn.BatchNorm2d):
    """Normalises in a forward pass of its own, as timm's `BatchNormAct2d` does (timm imports torch's compiler)."""

    def forward(self, values: Tensor) -> Tensor:
        own = (self.running_mean, self.running_var, self.weight, self.bias)
        return F.batch_norm(values, *own, self.training, self.momentum, self.eps).relu()


def drop_path(values: Tensor) -> Tensor:
    """As timm's draws."""
    return values * values.new_empty(len(values), 1, 1).bernoulli_(0.7) / 0.7


NORMS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "1d": (lambda: nn.BatchNorm1d(3), (BATCH, 3)),
    "2d": (lambda: nn.BatchNorm2d(3, eps=1e-3, momentum=0.3), (BATCH, 3, 2, 4)),
    "plain": (lambda: nn.BatchNorm2d(3, affine=False, track_running_stats=False), (BATCH, 3, 2, 4)),
    "derived": (lambda: NormThenReLU(3), (BATCH, 3, 2, 4)),
}


def norms(world: World) -> dict[str, Any]:
    """Each norm on this process's rows of a batch, twice: outputs, gradients, what it keeps, and in evaluation."""
    found = {}
    for name, (make, shape) in NORMS.items():
        generator = torch.Generator().manual_seed(0)
        norm = make().double()
        for parameter in norm.parameters():
            nn.init.normal_(parameter, generator=generator)
        synchronise(norm, world)
        for _ in range(2):
            values = (3 + torch.randn(shape, dtype=torch.float64, generator=generator))[world.shard.rows(BATCH)]
            weights = torch.randn(shape, dtype=torch.float64, generator=generator)[world.shard.rows(BATCH)]
            values.requires_grad_()
            output = norm(values)
            (output * weights).sum().backward()
        world.add_gradients(norm.parameters())
        rows = world.gather((output.detach(), values.grad, norm.eval()(values).detach()))
        state = {n: t.clone() for n, t in norm.state_dict().items()}
        found[name] = {"rows": rows, "gradients": [p.grad for p in norm.parameters()], "state": state}
        found[name]["class"] = type(norm).__name__
    return found


class Tiny(nn.Module):
    """Everything that looks at a batch or draws for it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.2)
        self.dense = nn.Linear(8, 8)
        self.depth = StochasticDepth(0.3)
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.dropout(self.norm(self.convolution(images)).relu()).flatten(2).transpose(1, 2)
        tokens = tokens + self.depth(self.dense(tokens))
        tokens = tokens + drop_path(self.dense(self.dropout(tokens)))
        return self.head(tokens.mean(1))


def trained(world: World, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Weights and statistics after five updates on batches that are mixed, and the losses."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (60, 3, 6, 6), dtype=torch.uint8, generator=generator)
    images = MemoryImages(pixels, torch.randint(0, 5, (60,), generator=generator), torch.arange(60), 6, 6)
    batches = TrainBatches(images, AUGMENT, DATA, 3, BATCH, shard=world.shard)
    torch.manual_seed(0)
    model = Tiny().to(dtype)
    synchronise(model, world)
    losses = []
    for step, batch in enumerate(batches.epoch(0)):
        model.zero_grad()
        losses.append(world.total(gradient(model, batch, world, step, dtype)))
        world.add_gradients(model.parameters())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.3 * parameter.grad
    return {**{n: t.clone() for n, t in model.state_dict().items()}, "losses": torch.stack(losses)}


def gradient(model: nn.Module, batch: Batch, world: World, step: int, dtype: torch.dtype) -> Tensor:
    seed_generator(batch.images.device, derive(3, "dropout", step))
    with whole_batch_draws(world.shard.rows(BATCH), BATCH):
        losses = cross_entropy(model(batch.images.to(dtype)), batch.targets)
    loss = losses.sum() / BATCH
    loss.backward()
    return loss.detach()


def scenarios(world: World) -> dict[str, Any]:
    return {
        "sums": sums(world),
        "gathered": gathered(world),
        "disagreement": disagreement(world),
        "norms": norms(world),
        "trained": trained(world),
        "trained in float32": trained(world, torch.float32),
    }


def main(folder: Path, times: int) -> None:
    torch.set_num_threads(1)
    for _ in range(times):
        with World.joined() as world:
            torch.save(scenarios(world), folder / f"rank{world.rank}.pt")
    if "torch._dynamo" in sys.modules:
        sys.exit("it imported torch's compiler, which takes each process seconds")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
