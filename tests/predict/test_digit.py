"""One digit comes out of a photograph as MNIST's were made; none, or several, are told apart from it."""

import functools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from predict.drawn import centred, glyph, mass, on_paper, placed
from sklearn.datasets import load_digits

from components.settings import DataSettings
from pipeline.predict.digit import Frame, find_digit

MNIST = Frame.of(DataSettings(shape=(28, 28), pixel_max=255))
UCI = Frame.of(DataSettings(shape=(8, 8), pixel_max=16))
NOISE = np.random.default_rng(0)
DOWN, ACROSS = np.mgrid[-1:1:160j, -1:1:160j]

LIGHT = {
    "even": np.full((160, 160), 0.9),
    "from the left": 0.65 - 0.3 * ACROSS,
    "dark corners": 0.95 - 0.3 * (ACROSS**2 + DOWN**2) / 2,
    "a shadow with an edge": 0.85 - 0.3 * (ACROSS + 0.3 * DOWN > 0.7),
    "rough paper": 0.8 + NOISE.normal(0, 0.02, (160, 160)),
}


def found(grey, frame=MNIST, **how):
    return find_digit(np.clip(grey, 0, 1).astype(np.float32), frame, **how)


def box(image):
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    return rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


@pytest.mark.parametrize("text", "0123456789")
def test_a_digit_fills_the_box_and_its_mass_is_in_the_middle(text):
    image = found(on_paper(centred(text))).image
    assert image.dtype == np.uint8
    assert image.max() == 255
    assert max(box(image)) in (19, 20)
    assert mass(image) == pytest.approx((14, 14), abs=0.51)


@pytest.mark.parametrize("text", "0147")
def test_the_aspect_ratio_is_kept(text):
    ink = glyph(text, 90)
    height, width = box(found(on_paper(centred(text))).image)
    assert width / height == pytest.approx(ink.shape[1] / ink.shape[0], abs=0.08)


def test_edges_keep_their_grey_levels():
    image = found(on_paper(centred("8", size=120))).image
    assert len(np.unique(image)) > 20


@pytest.mark.parametrize("light", LIGHT)
def test_light_and_paper_make_no_difference(light):
    plain = found(on_paper(centred())).image.astype(int)
    # Less light on the paper is less light on the ink.
    seen = found(on_paper(centred(), paper=LIGHT[light], pen=LIGHT[light] / 6))
    assert seen.dark
    assert np.abs(seen.image - plain).mean() < 8


def test_light_on_dark_is_the_same_as_dark_on_light():
    dark, light = found(on_paper(centred())), found(on_paper(centred(), paper=0.15, pen=0.9))
    assert (dark.dark, light.dark) == (True, False)
    assert np.abs(dark.image.astype(int) - light.image).max() <= 2


def test_the_polarity_that_was_asked_for_is_taken():
    assert found(on_paper(centred("0")), dark=False).dark is False


@functools.cache
def drawn_large(text):
    """Images of a large digit: as it is, and a pixel narrower or wider.

    Half a pixel decides whether a side of 13.5 is fitted into 13 or 14, and a font rounds the sides of each size.
    """
    ink = glyph(text, 160).astype(np.float32)
    height, width = ink.shape
    fitted = box(found(on_paper(placed(ink, (260, 260), 60, 50))).image)[1]
    sides = [round(width * (1 + more / fitted)) for more in (-1, 0, 1)]
    drawn = [np.asarray(Image.fromarray(ink).resize((side, height), Image.Resampling.BILINEAR)) for side in sides]
    return [found(on_paper(placed(one, (260, 260), 60, 50))).image.astype(int) for one in drawn]


@settings(max_examples=40)
@example(size=93, top=8, left=8, text="9")  # 13.2 pixels wide where the large one is 13.6
@example(size=24, top=8, left=8, text="6")  # the farthest of those below 60
@example(size=66, top=8, left=8, text="5")  # and of the others
@given(size=st.integers(24, 240), top=st.integers(8, 200), left=st.integers(8, 200), text=st.sampled_from("0123456789"))
def test_size_and_place_make_no_difference(size, top, left, text):
    ink = glyph(text, size)
    sheet = placed(ink, (ink.shape[0] + top + 30, ink.shape[1] + left + 30), top, left)
    seen = found(on_paper(sheet))
    assert seen.count == 1
    assert mass(seen.image) == pytest.approx((14, 14), abs=0.51)
    # The mass of a symmetric digit lies between two pixels, and either will do. The small ones are drawn by a hinting
    # font: their strokes are as wide as whole pixels. Of all sizes and digits the farthest are at 14.5 and at 7.5.
    shifts = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)]
    near = [np.roll(plain, shift, (0, 1)) for plain in drawn_large(text) for shift in shifts]
    assert min(np.abs(seen.image - one).mean() for one in near) < (18 if size < 60 else 9)


def test_an_image_as_mnist_has_them_stays_as_it_is():
    made = found(on_paper(centred("5"))).image
    again = found(made / 255).image
    assert np.abs(again.astype(int) - made).mean() < 2


def test_specks_are_dropped():
    ink = centred()
    dirty = ink.copy()
    dirty[10:13, 10:13] = dirty[140:142, 30:36] = 1
    assert np.abs(found(on_paper(dirty)).image.astype(int) - found(on_paper(ink)).image).max() <= 2


def test_a_digit_in_two_pieces_is_one():
    ink = centred("5")
    rows = np.flatnonzero(ink.any(axis=1))
    cut = rows[0] + len(rows) // 4
    ink[cut : cut + 4] = 0
    assert found(on_paper(ink)).count == 1


def test_a_thin_pen_leaves_a_trace():
    ink = np.zeros((300, 300))
    ink[40:260, 150:152] = 1
    image = found(on_paper(ink)).image
    assert image.max() == 255
    assert (image > 100).sum() >= 18


@pytest.mark.parametrize(("text", "count"), [("12", 2), ("808", 3), ("11", 2)])
def test_several_digits_are_counted(text, count):
    drawn = [glyph(one, 80) for one in text]
    ink = np.zeros((140, 30 + 90 * len(text)))
    for number, one in enumerate(drawn):
        left = 20 + 90 * number
        ink[30 : 30 + one.shape[0], left : left + one.shape[1]] = one
    seen = found(on_paper(ink))
    assert (seen.count, seen.image) == (count, None)


def blot():
    return on_paper((ACROSS**2 + DOWN**2 < 0.2).astype(float))


EMPTY = {
    "white": np.ones((120, 90)),
    "black": np.zeros((120, 90)),
    "paper": 0.8 + NOISE.normal(0, 0.02, (400, 300)),
    "noise": NOISE.uniform(0, 1, (100, 100)),
    "tiny noise": 0.5 + NOISE.normal(0, 0.1, (8, 8)),
    "a slope": 0.5 + 0.4 * ACROSS,
    "dark corners": LIGHT["dark corners"] + NOISE.normal(0, 0.01, (160, 160)),
    "a soft shadow": 0.8 - 0.1 * np.exp(-(ACROSS**2 + DOWN**2) / 0.3),
    "dust": 0.9 - 0.8 * (NOISE.uniform(size=(200, 200)) < 0.0005),
    "a blot": blot(),
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_photograph_with_nothing_on_it_is_empty(name):
    seen = found(EMPTY[name])
    assert (seen.count, seen.image) == (0, None)


@pytest.mark.parametrize("text", "0248")
def test_the_digits_of_uci_fill_their_image(text):
    image = found(on_paper(centred(text)), UCI).image
    assert image.shape == (8, 8)
    assert image.max() == 16
    assert box(image)[0] == 8


def test_another_geometry_gets_mnists_proportions():
    frame = Frame.of(DataSettings(shape=(56, 42), pixel_max=100))
    image = found(on_paper(centred("0")), frame).image
    assert frame.box == (40, 30)
    assert image.shape == (56, 42)
    assert image.max() == 100


def test_a_jpeg_of_faint_pencil_is_read(tmp_path):
    grey = on_paper(centred("7"), paper=0.75, pen=0.6) + NOISE.normal(0, 0.01, (160, 160))
    Image.fromarray((grey * 255).astype(np.uint8)).save(tmp_path / "7.jpg", quality=40)
    assert found(np.asarray(Image.open(tmp_path / "7.jpg")) / 255).count == 1


def ruled(every, grey=0.6):
    paper = np.full((400, 300), 0.9)
    paper[::every] = grey
    return paper


def squared():
    return np.minimum(ruled(25), ruled(25)[:, :1].T[:, :300])


def creased():
    paper = np.full((400, 300), 0.9)
    across = np.arange(300)
    paper[200 + (across * 0.3).astype(int), across] = 0.5
    return paper


def framed(paper):
    surrounded = np.full((paper.shape[0] + 40, paper.shape[1] + 40), 0.05)
    surrounded[20:-20, 20:-20] = paper
    return surrounded


PRINTED = {
    "lined": ruled(25),
    "one rule": ruled(390),
    "squared": squared(),
    "a fold": creased(),
    "a frame": framed(np.full((400, 300), 0.9)),
    "an edge of light": 0.85 - 0.3 * (ACROSS + 0.3 * DOWN > 0.3),
    "a table": np.where(ACROSS + 0.2 * DOWN > 0.6, 0.3, 0.9),
}


@pytest.mark.parametrize("name", PRINTED)
def test_paper_that_nobody_wrote_on_is_empty_whatever_is_printed_on_it(name):
    assert found(PRINTED[name]).count == 0


@pytest.mark.parametrize("text", "0134")
def test_a_digit_that_was_cut_out_closely_is_read(text):
    plain = found(on_paper(centred(text))).image.astype(int)
    assert np.abs(found(on_paper(glyph(text, 90))).image - plain).mean() < 8


@pytest.mark.parametrize("sides", ["all", "left", "above"])
def test_a_table_around_the_paper_is_cut_off(sides):
    plain = found(on_paper(centred())).image.astype(int)
    grey = framed(on_paper(centred()))
    rows, columns = slice(0 if sides != "left" else 20, -20), slice(0 if sides != "above" else 20, -20)
    seen = found(grey if sides == "all" else grey[rows, columns])
    assert seen.dark
    assert np.abs(seen.image - plain).mean() < 2


def test_digits_of_eight_by_eight_pixels_are_no_blots():
    digits = load_digits().images[:60] / 16
    counts = [found(image, UCI).count for image in digits]
    assert counts.count(1) >= 55


def test_a_frame_that_is_printed_around_the_digit_is_left_out():
    ink = centred()
    ink[4:6, 4:-4] = ink[-6:-4, 4:-4] = ink[4:-4, 4:6] = ink[4:-4, -6:-4] = 1
    plain = found(on_paper(centred())).image.astype(int)
    assert np.abs(found(on_paper(ink)).image - plain).mean() < 2
