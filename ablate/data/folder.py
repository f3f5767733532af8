"""Encoded images, decoded when a batch asks for them, and kept decoded as far as memory goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import get_worker_info

from ablate.data.errors import DataError
from ablate.data.files import EncodedFile, Paths, opened
from ablate.data.image_sets import Boxes
from ablate.data.kept import Kept, shared_zeros
from ablate.data.resampling import Resampling, evaluation_view, resize_box, to_array, to_image

_MODES = {1: "L", 3: "RGB"}
_Box = tuple[int, int, int, int]


class FolderImages:
    """Image files, converted to gray or RGB, cropped and resized as they are read.

    As in big_vision, training crops are resized bilinearly without antialiasing, and truncated; evaluation
    averages over areas (`ablate.data.area`); `ablate.data.resampling` has the other ways. Both see the full image,
    whatever its size. What was decoded stays in memory while there is room (`ablate.data.memory`): images for
    training in full, for evaluation their view. It makes no difference to what comes out.
    """

    decodes = True

    def __init__(
        self,
        files: Sequence[Path | EncodedFile],
        labels: NDArray[np.int64],
        indices: NDArray[np.int64],
        channels: int,
        image_size: int,
        eval_resize: int,
        eval_resampling: Resampling = "area",
    ) -> None:
        self.labels = torch.from_numpy(labels)
        self.indices = torch.from_numpy(indices)
        paths = [file for file in files if isinstance(file, Path)]
        self._files: Sequence[Path | EncodedFile] = Paths(paths) if len(paths) == len(files) else files
        self._mode = _MODES[channels]
        self._channels = channels
        self._size = image_size
        self._eval_resize = eval_resize
        self._eval_resampling = eval_resampling
        # Asked here, as another thread (one that reads ahead) may be given another answer.
        self._threads = max(1, torch.get_num_threads())
        self._sizes = shared_zeros((len(files), 2), np.int64)  # read from the files' headers, once each
        self._full, self._views = Kept(len(files)), Kept(len(files))

    def __len__(self) -> int:
        return len(self._files)

    def sizes(self, positions: Tensor) -> NDArray[np.int64]:
        """Height and width as the headers give them; each file's header is read once."""
        unknown = [place for place in positions.tolist() if not self._sizes[place, 0]]
        if unknown:
            self._sizes[unknown] = list(self._each(self._measure, unknown))
        return self._sizes[positions.numpy()]

    def images(self, positions: Tensor, boxes: Boxes | None = None, bicubic: NDArray[np.bool_] | None = None) -> Tensor:
        """See `ImageSet.images`; as many threads decode as torch computes with, in a worker process one."""
        places = positions.tolist()
        squares = np.empty((len(places), self._size, self._size, self._channels), dtype=np.uint8)
        if boxes is None:
            views = self._each(self._view, places, kept=self._views.has_all(places))
        else:
            ways = repeat(None) if bicubic is None else bicubic.tolist()
            views = self._each(self._cut, places, [tuple(box) for box in boxes.tolist()], ways, kept=False)
        for square, view in zip(squares, views, strict=True):
            square[...] = view
        return torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous()

    def _each(self, function: Callable[..., Any], *arguments: Iterable[Any], kept: bool = False) -> Iterable[Any]:
        """What it gives for each, in order, from threads where there are some and there is something to decode."""
        if kept or self._threads == 1 or get_worker_info() is not None:
            return map(function, *arguments)
        with ThreadPoolExecutor(self._threads) as pool:
            return pool.map(function, *arguments)

    def _measure(self, position: int) -> tuple[int, int]:
        with opened(self._files[position]) as image:
            return image.height, image.width

    def _cut(self, position: int, box: _Box, bicubic: bool | None) -> NDArray[np.uint8]:
        """A box of an image, resized."""
        top, left, height, width = box
        kept = self._full.get(position)
        if kept is not None:
            return to_array(resize_box(to_image(kept[top : top + height, left : left + width]), self._size, bicubic))

        def cut(image: Image.Image) -> NDArray[np.uint8]:
            if self._full.room_for(image.width * image.height * self._channels):
                image = self._converted(image)
                self._full.put(position, to_array(image))
            region = self._converted(image.crop((left, top, left + width, top + height)))
            return to_array(resize_box(region, self._size, bicubic))

        return self._decoded(position, cut)

    def _view(self, position: int) -> NDArray[np.uint8]:
        """An image as evaluation sees it."""
        kept = self._views.get(position)
        if kept is not None:
            return kept

        def look(image: Image.Image) -> NDArray[np.uint8]:
            return evaluation_view(self._converted(image), self._eval_resize, self._size, self._eval_resampling)

        view = self._decoded(position, look)
        self._views.put(position, view)
        return view

    def _decoded(self, position: int, look: Callable[[Image.Image], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        file = self._files[position]
        try:
            with opened(file) as image:
                return look(image)
        except DataError:
            raise
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"cannot read the image {file}: {error}") from error

    def _converted(self, image: Image.Image) -> Image.Image:
        return image if image.mode == self._mode else image.convert(self._mode)
