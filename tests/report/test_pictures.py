"""Charts take their colours from the page and say nothing of their own; mosaics are PNGs of the right pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.report import charts, mosaics


@pytest.fixture
def svg():
    figure, axes = charts.chart()
    axes.plot([1, 2, 3], [3, 1, 2], color=charts.FIRST, label="<script>alert(1)</script>")
    axes.legend()
    return str(charts.drawn(figure, "three points").svg)


def pixels(picture):
    return np.array(Image.open(io.BytesIO(picture.png)))


def test_a_chart_names_the_pages_colours(svg):
    assert 'stroke="var(--first)"' in svg
    assert charts.FIRST not in svg


@pytest.mark.parametrize("foreign", ["style=", "<style", "xmlns", "font-family", "http://", ' id="axes', "<metadata"])
def test_a_chart_brings_no_style_names_or_addresses_of_its_own(svg, foreign):
    assert foreign not in svg


def test_markup_in_a_chart_is_text(svg):
    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg


def test_equal_charts_are_equal_bytes():
    def one():
        figure, axes = charts.chart()
        axes.plot([1, 2], [1, 2], marker="o")
        return charts.drawn(figure, "").svg

    assert one() == one()


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.003, 0.2], ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]),
        ([1, 1000], ["1", "10", "100", "1000"]),
        ([0, 0], []),
    ],
)
def test_a_logarithmic_axis_has_round_ticks(values, ticks):
    _, axes = charts.chart()
    charts.log_axis(axes.yaxis, values)
    if ticks:
        assert [label.get_text() for label in axes.get_yticklabels()] == ticks


def test_ink_is_opacity_and_the_peak_is_full():
    picture = mosaics.ink(np.array([[[0, 8], [16, 32]]]), peak=16, text="", columns=1)
    assert pixels(picture)[..., 1].tolist() == [[0, 128], [255, 255]]
    assert picture.ink


def test_images_lie_in_rows_with_a_gap():
    picture = mosaics.ink(np.ones((3, 2, 2)), peak=1, text="", columns=2, scale=3)
    assert pixels(picture)[..., 1].tolist() == [
        [255, 255, 0, 0, 255, 255],
        [255, 255, 0, 0, 255, 255],
        [0] * 6,
        [0] * 6,
        [255, 255, 0, 0, 0, 0],
        [255, 255, 0, 0, 0, 0],
    ]
    assert (picture.width, picture.height) == (18, 18)


def test_signed_values_have_a_colour_to_each_side_of_nothing():
    found = pixels(mosaics.signed(np.array([[[-2.0, 0.0, 1.0]]]), text=""))[0]
    assert tuple(found[0]) == (*mosaics.BELOW, 255)
    assert found[1][3] == 0
    assert tuple(found[2]) == (*mosaics.ABOVE, 128)


def test_the_density_shows_the_chosen_over_all():
    places = np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    found = pixels(mosaics.density(places, np.array([True, False, False]), text="", side=4))
    assert tuple(found[3, 0, :3]) == mosaics.ABOVE  # below and left: the origin
    assert tuple(found[0, 3, :3]) == (128, 128, 128)
    assert found[0, 0, 3] == 0
