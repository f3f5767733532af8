from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ablate.data.area import centre_view


def overlaps(old: int, new: int) -> np.ndarray:
    """Share of pixel j of the old axis in pixel i of the new one, (new, old), written out plainly."""
    part = old / new
    shares = np.zeros((new, old))
    for i in range(new):
        for j in range(old):
            shares[i, j] = max(0.0, min((i + 1) * part, j + 1) - max(i * part, j)) / part
    return shares


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    shorter=st.integers(1, 30),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 9),
)
def test_the_view_is_the_mean_over_areas(height, width, shorter, channels, seed):
    """Every pixel is the mean of what it covers, shrunk or enlarged, truncated; the rest is the centre's place.

    The expected means come from matrices of overlaps. Means of at most 60 x 60 whole numbers are themselves whole,
    or at least 1/3600 away from that, so that 1e-6 and rounding errors decide no pixel.
    """
    size = max(1, shorter - 3)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    scale = shorter / min(height, width)
    tall, wide = round(height * scale), round(width * scale)
    means = np.einsum("ih,hwc,jw->ijc", overlaps(height, tall), pixels.astype(float), overlaps(width, wide))
    top, left = (tall - size) // 2, (wide - size) // 2
    expected = np.floor(means + 1e-6)[top : top + size, left : left + size]
    assert np.array_equal(centre_view(pixels, shorter, size), expected)


def test_a_flat_image_stays_flat():
    """Means of equal pixels are that pixel, whatever the ratio of sizes."""
    for value in range(256):
        assert (centre_view(np.full((37, 53, 3), value, dtype=np.uint8), 26, 22) == value).all()


def test_at_its_own_size_nothing_is_resampled():
    """An image of the size asked for is cut and not changed."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    assert np.array_equal(centre_view(pixels, 20, 16), pixels[2:18, 7:23])
