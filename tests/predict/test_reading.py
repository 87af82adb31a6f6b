"""What people's pictures have beside a digit's ink: frames, loose strokes, much paper, other digits."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from predict.drawn import bytes_of, centred, glyph, on_paper, placed
from scipy import ndimage

from components.settings import DataSettings
from pipeline.predict import photograph
from pipeline.predict.digit import FRAME, STROKES, Frame, find_digit, find_digits
from pipeline.predict.rules import without_rules

MNIST = Frame.of(DataSettings(shape=(28, 28), pixel_max=255))
PLAIN = find_digit(on_paper(centred()).astype(np.float32), MNIST).image.astype(int)


def found(grey, **how):
    return find_digits(np.clip(grey, 0, 1).astype(np.float32), MNIST, **how)


def cell(sides, *, shade=0.05, thick=4, ink=None):
    """A digit in a form's cell, of which some sides are to be seen."""
    grey = on_paper(centred() if ink is None else ink, pen=0.4)
    lines = {
        "top": np.s_[6 : 6 + thick, :],
        "bottom": np.s_[-6 - thick : -6, :],
        "left": np.s_[:, 8 : 8 + thick],
        "right": np.s_[:, -8 - thick : -8],
    }
    for side in sides:
        grey[lines[side]] = shade
    return grey


@pytest.mark.parametrize(
    "sides", [("top", "bottom", "left", "right"), ("top", "left"), ("left",), ("bottom", "right"), ("left", "right")]
)
def test_the_frame_of_a_cell_is_left_out(sides):
    seen = found(cell(sides))
    assert seen.count == 1
    assert np.abs(seen.image - PLAIN).mean() < 4
    assert seen.digits[0].choices == ()


def test_a_frame_that_is_tilted_a_little_is_left_out():
    grey = ndimage.rotate(cell(("top", "bottom", "left", "right")), 1.5, reshape=False, cval=0.9, order=1)
    seen = found(grey)
    assert seen.count == 1
    # The digit is tilted as well.
    assert np.abs(seen.image - PLAIN).mean() < 20


def test_a_frame_that_the_digit_touches_is_a_choice_with_a_confidence():
    ink = placed(glyph("2", 110), (160, 160), 40, 6)
    seen = found(cell(("top", "left"), ink=ink))
    (choice,) = seen.digits[0].choices
    assert choice.kind == FRAME
    assert 0.5 <= choice.confidence < 0.98
    assert seen.digits[0].other is not None


@pytest.mark.parametrize("text", "1470")
def test_a_digit_that_was_cut_out_closely_has_no_frame(text):
    grey = on_paper(glyph(text, 120)).astype(np.float32)
    assert without_rules(grey).count == 0


def seven(gap):
    """A 7 whose bar is apart from its stem."""
    image = Image.new("L", (300, 300))
    pen = ImageDraw.Draw(image)
    pen.line((90, 70, 200, 70), fill=255, width=12)
    pen.line((200, 82 + gap, 140, 240), fill=255, width=12)
    return np.asarray(image) / 255


def test_a_loose_bar_belongs_to_its_digit_the_less_surely_the_wider_the_gap():
    confidences = []
    for gap in (8, 16, 30):
        (digit,) = found(on_paper(seven(gap))).digits
        (choice,) = digit.choices
        assert (choice.kind, digit.other is None) == (STROKES, False)
        confidences.append(choice.confidence)
    assert 0.98 > confidences[0] > confidences[1] > confidences[2] > 0.4


def test_two_digits_do_not_become_one_however_small_one_is():
    ink = placed(glyph("5", 80), (140, 220), 30, 20) + placed(glyph("2", 50), (140, 220), 45, 110)
    assert found(on_paper(ink)).count == 2


def test_digits_are_found_in_reading_order():
    ink = np.zeros((300, 340))
    for text, top, left in (("4", 20, 30), ("2", 30, 130), ("7", 22, 230), ("1", 170, 40), ("9", 160, 150)):
        drawn = glyph(text, 80)
        ink[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    digits = found(on_paper(ink)).digits
    boxes = [digit.box for digit in digits]
    assert len(boxes) == 5
    assert [round(left * 340) // 10 for _, left, _, _ in boxes] == [3, 13, 23, 4, 15]
    assert all(top < bottom and left < right for top, left, bottom, right in boxes)


def slanted():
    """A stroke from corner to corner, as a 1 is written by some."""
    image = Image.new("L", (400, 400))
    ImageDraw.Draw(image).line((330, 30, 90, 370), fill=255, width=6)
    return np.asarray(image) / 255


LARGE = {
    "a slanted stroke": slanted(),
    "a full page": placed(glyph("8", 520), (440, 360), 4, 4)[:, :360],
    "a thin double loop": np.asarray(Image.fromarray(bytes_of(centred("6", 300, 500)))) / 255,
}


@pytest.mark.parametrize("name", LARGE)
def test_clean_ink_is_never_called_empty(name):
    assert found(on_paper(LARGE[name])).count == 1


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_a_small_digit_in_a_large_photograph_is_read_from_all_its_pixels(tmp_path, share):
    side = 3200
    ink = np.asarray(Image.fromarray(bytes_of(glyph("3", 200))).resize((int(0.6 * share * side), int(share * side))))
    grey = on_paper(placed(ink / 255, (side * 3 // 4, side), 900, 1400))
    Image.fromarray(bytes_of(grey)).save(tmp_path / "3.png", compress_level=1)
    read = photograph.read(tmp_path / "3.png")
    assert max(read.grey.shape) <= photograph.WORKING < max(read.detail.shape) <= photograph.DETAIL
    (digit,) = find_digits(read.grey, MNIST, detail=read.detail).digits
    assert np.abs(digit.image - PLAIN).mean() < 15


def test_further_views_have_another_pen_or_slant():
    (digit,) = found(on_paper(centred("7"))).digits
    assert len(digit.views) == 8
    assert len({view.tobytes() for view in digit.views}) > 3


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_gif_and_webp_are_read(tmp_path, kind):
    Image.fromarray(bytes_of(on_paper(centred()))).save(tmp_path / f"3.{kind}")
    seen = find_digit(photograph.read(tmp_path / f"3.{kind}").grey, MNIST)
    assert np.abs(seen.image - PLAIN).mean() < 6
