"""Makes `big_vision.npz`: what big_vision's own RandAugment and TensorFlow's crop sampler do.

Run beside big_vision's `big_vision/pp/autoaugment.py`, with tensorflow-cpu 2.15.1, tensorflow-addons 0.23.0
and numpy 1.26 (Python 3.11). Operations run inside `tf.data`, as they did in training. The two magnitudes
in pixels are scaled to the image, as `ablate.data.randaugment` scales them.
"""

from __future__ import annotations

import autoaugment
import numpy as np
import tensorflow as tf

SIZES = (8, 17, 28)
LEVELS = (10.0, 17.0)
GRAY = [128] * 3


def in_graph(function, image, *arguments):
    dataset = tf.data.Dataset.from_tensors(image).map(lambda x: function(x, *arguments))
    return next(iter(dataset.as_numpy_iterator()))


def image_of(size: int, rng: np.random.Generator) -> np.ndarray:
    if size == 8:
        return rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    y, x = np.mgrid[0:size, 0:size] / (size - 1)
    smooth = np.stack([80 + 100 * x, 200 - 150 * y * x, 60 + 50 * np.sin(7 * x + 3 * y)], -1)
    return (smooth + rng.normal(0, 8, smooth.shape)).clip(0, 255).astype(np.uint8)


def operations(level: float, size: int):
    share = level / 10
    enhance = share * 1.8 + 0.1
    yield "AutoContrast", autoaugment.autocontrast, ()
    yield "Equalize", autoaugment.equalize, ()
    yield "Invert", autoaugment.invert, ()
    yield "Posterize", autoaugment.posterize, (int(share * 4),)
    yield "Solarize", autoaugment.solarize, (int(share * 256),)
    yield "SolarizeAdd", autoaugment.solarize_add, (int(share * 110),)
    for name in ("Color", "Brightness", "Sharpness"):
        yield name, getattr(autoaugment, name.lower()), (enhance,)
    for mark, sign in (("+", 1), ("-", -1)):
        for name, function, size_of in (
            ("Rotate", autoaugment.rotate, 30.0 * share),
            ("ShearX", autoaugment.shear_x, 0.3 * share),
            ("ShearY", autoaugment.shear_y, 0.3 * share),
            ("TranslateX", autoaugment.translate_x, 100.0 * size / 224 * share),
            ("TranslateY", autoaugment.translate_y, 100.0 * size / 224 * share),
        ):
            yield name + mark, function, (tf.constant(sign * size_of, tf.float32), GRAY)


def main() -> None:
    rng = np.random.default_rng(0)
    found = {}
    for size in SIZES:
        image = image_of(size, rng)
        found[f"{size}/image"] = image
        for level in LEVELS:
            for name, function, arguments in operations(level, size):
                found[f"{size}/{level:g}/{name}"] = in_graph(function, image, *arguments)
    gray = np.full((224, 224, 3), 100, dtype=np.uint8)  # contrast depends on the number of pixels alone
    found["contrast of 100 at level 10, 224 px"] = in_graph(autoaugment.contrast, gray, 1.9)[0, 0]
    boxes = []
    for seed in range(1, 2001):
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            (200, 300, 3),
            tf.zeros([0, 0, 4]),
            area_range=(0.05, 1.0),
            aspect_ratio_range=(0.75, 4 / 3),
            min_object_covered=0,
            use_image_if_no_bounding_boxes=True,
            seed=seed,
        )
        boxes.append([*begin.numpy()[:2], *size.numpy()[:2]])
    found["crops of 200 x 300"] = np.array(boxes, dtype=np.int16)
    np.savez_compressed("big_vision.npz", **found)


main()
