"""Pictures of attention and features, read back as pixels."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ablate.reporting.figures.attention import Reading, Seen, draw, pictures, principal_colours
from ablate.reporting.figures.style import paper_style, to_png


def seen(**changes: Any) -> Seen:
    """A grey image of 8 x 12 px on a grid of 2 x 3, with two heads and features of two blocks."""
    random = np.random.default_rng(0)
    heads = np.array([[[0.1, 0.2, 0.1], [0.1, 0.3, 0.1]], [[0.5, 0.0, 0.0], [0.0, 0.0, 0.4]]])
    reading = Reading("class token", heads, heads.mean(axis=0))
    fields: dict[str, Any] = {
        "title": "test:3 · predicted 7 (98.2 %), label 7",
        "subtitle": "Trial 0123456789ab",
        "image": random.integers(0, 256, (8, 12), dtype=np.uint8),
        "block": 2,
        "readings": (reading,),
        "no_rollout": "",
        "features": tuple(random.normal(size=(2, 3, 5)) for _ in range(2)),
    }
    return Seen(**(fields | changes))


def overview(what: Seen) -> Figure:
    with paper_style():
        return draw(what)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(mpl.text.Text) if text.get_text()]


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_the_overview_names_every_panel() -> None:
    """Title, headings, the heads by number, and how far the largest value is above the map's mean."""
    found = texts(overview(seen()))
    assert "test:3 · predicted 7 (98.2 %), label 7\nTrial 0123456789ab" in found
    assert "class token: attention of block 2 (90 % of it on the patches), and rollout of blocks 1 to 2" in found
    assert "head 1\nlargest 2.0 × mean" in found
    assert "head 2\nlargest 3.3 × mean" in found
    assert "largest of the map, over the input: the stronger the colour, the more weight" in found
    assert {"input", "over the input", "1 (2 × 3)", "2 (2 × 3)", "0", "largest of the map"} <= set(found)


def test_the_overview_is_the_same_bytes_twice() -> None:
    """As wide as two columns of a paper at 200 dpi, and drawn without a warning."""
    with paper_style():
        first, second = to_png(draw(seen())), to_png(draw(seen()))
    assert first == second
    assert pixels(first).shape[1] == 1360
    assert pixels(first).std() > 20


def test_a_picture_has_one_square_for_each_place() -> None:
    """On a 2 x 3 grid the brightest square is the largest weight's, and there are as many colours as values."""
    files = pictures(seen())
    head = pixels(files["attention-head-02.png"])
    assert head.shape[:2] == (2 * 149, 3 * 149)
    squares = head[74::149, 74::149, :3].astype(int).sum(axis=-1)
    assert squares.argmax() == 0
    assert np.unique(squares).size == 3
    assert (head[:149, :149] == head[0, 0]).all()
    assert (pixels(files["input.png"])[::37, ::37, 0] == seen().image).all()


def test_each_reading_has_files_of_its_own() -> None:
    """With two queries the names say whose it is; with one they need not; none is drawn twice."""
    one = {"input.png", "attention-mean.png", "attention-head-01.png", "attention-head-02.png", "rollout.png"}
    features = {"features-01.png", "features-02.png"}
    assert set(pictures(seen())) == one | features
    reading = seen().readings[0]
    both = pictures(seen(readings=(reading, replace(reading, query="distillation token")), features=()))
    assert set(both) == {
        "input.png",
        *(
            f"{what}.png"
            for query in ("class-token", "distillation-token")
            for what in (
                f"attention-{query}-mean",
                f"attention-{query}-head-01",
                f"attention-{query}-head-02",
                f"rollout-{query}",
            )
        ),
    }


def test_features_alone_are_drawn_with_the_input() -> None:
    """Without readings there is no scale, and the input stands beside the features."""
    found = texts(overview(seen(readings=())))
    assert "input" in found
    assert "largest of the map" not in found
    assert set(pictures(seen(readings=()))) == {"input.png", "features-01.png", "features-02.png"}


def test_signed_weights_are_centred_on_zero() -> None:
    """Red above and blue below zero, the scale says both, and the reason for the missing rollout is there."""
    heads = np.array([[[-1.0, 0.0, 1.0]]])
    what = seen(readings=(Reading("class token", heads, None),), no_rollout="the weights are no shares", features=())
    squares = pixels(pictures(what)["attention-head-01.png"])[74, 74::149, :3].astype(int)
    assert squares[0, 2] > squares[0, 0]
    assert squares[2, 0] > squares[2, 2]
    assert (squares[1] > 240).all()
    found = texts(overview(what))
    assert {"−largest", "largest of the map; no rollout: the weights are no shares", "head 1\n±1"} <= set(found)


def test_an_image_in_colour_keeps_its_colours() -> None:
    """Three channels come out as they went in."""
    image = np.random.default_rng(1).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    files = pictures(seen(image=image))
    assert (pixels(files["input.png"])[::74, ::74, :3] == image).all()
    overview(seen(image=image))


def test_principal_colours_by_hand() -> None:
    """Places on a line give one component, scaled to its range and brightest where farthest out; the rest is 0.5."""
    line = np.array([[[0.0, 0.0], [1.0, 2.0], [3.0, 6.0]]])
    colours = principal_colours(line)
    assert colours.shape == (1, 3, 3)
    np.testing.assert_allclose(colours[0, :, 0], [0, 1 / 3, 1], atol=1e-12)
    np.testing.assert_allclose(colours[..., 1:], 0.5)


@pytest.mark.parametrize("shape", [(1, 1, 4), (2, 2, 1), (3, 3, 2)])
def test_constant_or_few_features_are_no_error(shape: tuple[int, int, int]) -> None:
    """One place, one channel, or the same everywhere: colours in [0, 1] all the same."""
    for values in (np.ones(shape), np.random.default_rng(0).normal(size=shape)):
        colours = principal_colours(values)
        assert colours.shape == (*shape[:2], 3)
        assert colours.min() >= 0
        assert colours.max() <= 1
    assert (principal_colours(np.full(shape, 7.0)) == 0.5).all()


def test_a_map_of_zeros_is_drawn_and_said() -> None:
    """No division by the mean of nothing."""
    zeros = np.zeros((1, 2, 3))
    found = texts(overview(seen(readings=(Reading("class token", zeros, None),), no_rollout="it is not known")))
    assert "head 1\n0 everywhere" in found


def test_reasons_and_notes_are_in_the_picture() -> None:
    """Why there is no attention stands below the features; a note is the last line of the title."""
    found = texts(overview(seen(readings=(), no_attention="its tokens are mixed by TokenMLP")))
    assert "no attention: its tokens are mixed by TokenMLP" in found
    assert any(
        text.endswith("Trial 0123456789ab\nnot all is shown") for text in texts(overview(seen(note="not all is shown")))
    )
