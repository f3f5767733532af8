"""How fast accelerators can multiply: the peaks that a utilisation is a share of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ablate.recipe import Recipe
from ablate.wording import listing, nearest

#: Share of the peak that a training reaches where tensor cores multiply. At three times the forward FLOPs an image:
#: DeiT-B, 53 h of eight V100 for 300 epochs (arXiv 2012.12877, section 6): 21 %. ViT-S/16, 6 to 7 h of a TPUv3-8 for 90
#: epochs (big_vision configs/vit_s16_i1k.py; arXiv 2205.01580): 25 to 29 %. ResNet-50, 8,322 images/s on eight V100 and
#: 16,621 on eight A100 in mixed precision, 7,248 in TF32 (NVIDIA DeepLearningExamples): 20, 16 and 14 %.
TENSOR_CORES = 0.25
#: The same where they do not, and arithmetic is slow beside memory: ResNet-50 in float32, 2,855 images/s on eight V100
#: (ibidem): 56 %.
FLOAT32 = 0.5


class DeviceError(ValueError):
    """A device that is not known, or does not compute in a precision; the message is one line for the user."""


@dataclass(frozen=True)
class Peak:
    """What a device can do in one precision."""

    flops_per_s: float
    units: str
    """`float16`, `bfloat16`, `tf32` or `float32`."""
    usual_share: float
    """The share of it that trainings reach."""


@dataclass(frozen=True)
class Device:
    """An accelerator and its dense peaks, FLOPs/s, two to a multiply-add; None for what its units do not compute."""

    name: str
    half: float
    """In float16 on tensor cores, summed in float32."""
    tf32: float | None
    float32: float
    """Without tensor cores."""
    source: str
    bfloat16: bool = True
    """Whether ``half`` holds for bfloat16, too."""

    def peak(self, recipe: Recipe) -> Peak:
        """The peak at a Recipe's precision. Raises `DeviceError` for bfloat16 where there are no units for it."""
        if recipe.precision == "bfloat16" and not self.bfloat16:
            raise DeviceError(f"{self.name} has no units for bfloat16; it needs precision float16 or float32")
        if recipe.precision != "float32":
            return Peak(self.half, recipe.precision, TENSOR_CORES)
        if recipe.compute.tf32 and self.tf32 is not None:
            return Peak(self.tf32, "tf32", TENSOR_CORES)
        return Peak(self.float32, "float32", FLOAT32)


_A100 = "NVIDIA A100 data sheet"
_H100 = "NVIDIA H100 data sheet, SXM; tensor cores: half of the figures given with sparsity"
_ADA = "NVIDIA Ada GPU architecture white paper"
_DEVICES = (
    Device("a100", 312e12, 156e12, 19.5e12, _A100),
    Device("a10", 125e12, 62.5e12, 31.2e12, "NVIDIA A10 data sheet"),
    Device("a40", 149.7e12, 74.8e12, 37.4e12, "NVIDIA A40 data sheet"),
    Device("b200", 2250e12, 1125e12, 75e12, "NVIDIA HGX B200 data sheet, half of the figures with sparsity"),
    Device("h100", 989.4e12, 494.7e12, 66.9e12, _H100),
    Device("h100-pcie", 756e12, 378e12, 51.2e12, _H100.replace("SXM", "PCIe")),
    Device("h200", 989.4e12, 494.7e12, 66.9e12, _H100.replace("H100", "H200")),
    Device("l4", 121e12, 60e12, 30.3e12, "NVIDIA L4 data sheet, half of the figures with sparsity"),
    Device("l40s", 362e12, 183e12, 91.6e12, "NVIDIA L40S data sheet"),
    Device("rtx3090", 71e12, 35.6e12, 35.6e12, "NVIDIA Ampere GA102 white paper"),
    Device("rtx4090", 165.2e12, 82.6e12, 82.6e12, _ADA),
    Device("t4", 65e12, None, 8.1e12, "NVIDIA T4 data sheet", bfloat16=False),
    Device("v100", 125e12, None, 15.7e12, "NVIDIA V100 data sheet, SXM2", bfloat16=False),
    Device("v100-pcie", 112e12, None, 14e12, "NVIDIA V100 data sheet, PCIe", bfloat16=False),
)
DEVICES: Mapping[str, Device] = MappingProxyType({device.name: device for device in _DEVICES})


def device_named(name: str) -> Device:
    """A device of the table, upper case or lower. Raises `DeviceError` with the names that there are."""
    if name.lower() not in DEVICES:
        hint = nearest(name.lower(), DEVICES)
        raise DeviceError(f"the peak of a device named {name!r} is not known; {listing(DEVICES)}{hint}")
    return DEVICES[name.lower()]
