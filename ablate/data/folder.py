"""A folder of images, one folder per class, decoded when a batch asks for them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ablate.data.area import centre_view
from ablate.data.errors import DataError
from ablate.data.image_sets import Boxes

_MODES = {1: "L", 3: "RGB"}
#: Modes of 8 bits or less; converting others (16-bit gray, float) would clip them silently.
_CONVERTIBLE = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


class FolderImages:
    """Image files, converted to gray or RGB, cropped and resized as they are read.

    As in big_vision, training crops are resized bilinearly without antialiasing, and truncated; evaluation
    averages over areas (`ablate.data.area`). Both see the full image, whatever its size.
    """

    decodes = True

    def __init__(
        self,
        paths: list[Path],
        labels: NDArray[np.int64],
        indices: NDArray[np.int64],
        channels: int,
        image_size: int,
        eval_resize: int,
    ) -> None:
        self.labels = torch.from_numpy(labels)
        self.indices = torch.from_numpy(indices)
        self._paths = paths
        self._mode = _MODES[channels]
        self._channels = channels
        self._size = image_size
        self._eval_resize = eval_resize
        # Asked here, as another thread (one that reads ahead) may be given another answer.
        self._threads = max(1, torch.get_num_threads())
        self._sizes = np.zeros((len(paths), 2), dtype=np.int64)  # read from the files' headers, once each

    def __len__(self) -> int:
        return len(self._paths)

    def sizes(self, positions: Tensor) -> NDArray[np.int64]:
        """Height and width as the headers give them; each file's header is read once."""
        unknown = [place for place in positions.tolist() if not self._sizes[place, 0]]
        if unknown:
            with ThreadPoolExecutor(self._threads) as pool:
                self._sizes[unknown] = list(pool.map(self._measure, unknown))
        return self._sizes[positions.numpy()]

    def images(self, positions: Tensor, boxes: Boxes | None = None) -> Tensor:
        """See `ImageSet.images`; as many threads decode as torch computes with."""
        places = positions.tolist()
        cuts = [None] * len(places) if boxes is None else [tuple(box) for box in boxes.tolist()]
        with ThreadPoolExecutor(self._threads) as pool:
            arrays = list(pool.map(self._decode, places, cuts))
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()

    def _measure(self, position: int) -> tuple[int, int]:
        with _opened(self._paths[position]) as image:
            return image.height, image.width

    def _decode(self, position: int, box: tuple[int, int, int, int] | None) -> NDArray[np.uint8]:
        path = self._paths[position]
        try:
            with _opened(path) as image:
                square = self._centre(image) if box is None else self._cut(image, box)
        except (OSError, SyntaxError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"cannot read the image {path}: {error}") from error
        return square

    def _cut(self, image: Image.Image, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        top, left, height, width = box
        region = image.crop((left, top, left + width, top + height)).convert(self._mode)
        # PIL's `resize` would smooth where it shrinks; its transform by extent looks at four pixels only.
        extent = (0, 0, width, height)
        square = region.transform((self._size, self._size), Image.Transform.EXTENT, extent, Image.Resampling.BILINEAR)
        return self._array(square)

    def _centre(self, image: Image.Image) -> NDArray[np.uint8]:
        return centre_view(self._array(image.convert(self._mode)), self._eval_resize, self._size)

    def _array(self, image: Image.Image) -> NDArray[np.uint8]:
        return np.asarray(image, dtype=np.uint8).reshape(image.height, image.width, self._channels)


def _opened(path: Path) -> Image.Image:
    """Open an image file, reading no more than its header."""
    try:
        image = Image.open(path)
    except OSError as error:
        raise DataError(f"cannot read the image {path}: {error}") from error
    if image.mode not in _CONVERTIBLE:
        image.close()
        raise DataError(f"the image {path} has mode {image.mode}; convert it to 8 bits a channel")
    return image
