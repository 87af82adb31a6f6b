"""Charts are drawn once for equal figures: what is kept is what was drawn, of equal arguments alone, and only one's own."""

import dataclasses
import json
import os

import numpy as np
import pytest
from markupsafe import Markup

from pipeline.report import charts, kept_charts
from pipeline.report.kept_charts import kept
from pipeline.report.picture import Picture


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_TFX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "charts"


class Drawing:
    """A chart that counts how often it is drawn."""

    def __init__(self):
        self.times = 0
        self.drawn = kept(self.draw)

    def draw(self, values, name):
        self.times += 1
        figure, axes = charts.chart()
        axes.plot(np.asarray(values, float).ravel())
        axes.set(xlabel=name)
        return charts.drawn(figure, f"{name} <&> é")


@pytest.fixture
def drawing():
    return Drawing()


def test_equal_figures_are_drawn_once_and_give_the_same_picture(drawing, cache):
    first, second = (drawing.drawn([1, 2, 3], "loss") for _ in range(2))
    assert drawing.times == 1
    assert first == second
    assert isinstance(second.svg, Markup)
    [file] = cache.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert cache.stat().st_mode & 0o777 == 0o700


@dataclasses.dataclass(frozen=True)
class Pair:
    one: object
    two: object


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (1, 1.0),
        (1, True),
        ("1", 1),
        (None, "None"),
        (b"a", "a"),
        ([1, 2], [2, 1]),
        ([1, [2]], [[1], 2]),
        (["ab", "c"], ["a", "bc"]),
        (np.arange(4), np.arange(4).reshape(2, 2)),
        (np.arange(4), np.arange(4).astype(np.int32)),
        (np.zeros(2), np.full(2, 1e-300)),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        (Pair(1, 2), Pair(2, 1)),
        (Pair(1, 2), [1, 2]),
    ],
)
def test_other_figures_are_another_chart(value, other):
    keys = [kept_charts._key(Drawing.draw, (one,)) for one in (value, other, value)]
    assert keys[0] == keys[2] != keys[1]


def test_the_order_of_a_mapping_is_no_figure():
    one, other = (kept_charts._key(Drawing.draw, (given,)) for given in ({"a": 1, "b": 2}, {"b": 2, "a": 1}))
    assert one == other


def test_what_has_no_digest_is_drawn_each_time(drawing, cache):
    for _ in range(2):
        drawing.drawn([1, 2], Named())
    assert drawing.times == 2
    assert not list(cache.iterdir())


class Named:
    def __str__(self):
        return "an object of some kind"


@pytest.mark.parametrize(
    "spoilt",
    [b"", b"{", b"[]", b"{}", b'{"svg": "<svg/>"}', b'{"svg": "x", "text": "t", "width": 1, "height": 1, "more": 2}'],
)
def test_a_file_that_is_not_whole_is_drawn_over(drawing, cache, spoilt):
    wanted = drawing.drawn([1, 2, 3], "loss")
    [file] = cache.iterdir()
    file.write_bytes(spoilt)
    assert drawing.drawn([1, 2, 3], "loss") == wanted
    assert drawing.drawn([1, 2, 3], "loss") == wanted
    assert drawing.times == 2


@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_others_can_write_to_is_not_used(drawing, cache, which):
    wanted = drawing.drawn([1, 2, 3], "loss")
    [file] = cache.iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "svg": "<svg>somebody else's</svg>"}))
    (file if which == "file" else cache).chmod(0o777)
    assert drawing.drawn([1, 2, 3], "loss") == wanted


def test_a_cache_that_cannot_be_made_is_no_failure(drawing, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MNIST_TFX_CACHE", str(tmp_path / "file" / "cache"))
    assert isinstance(drawing.drawn([1, 2, 3], "loss"), Picture)


def test_those_that_were_used_last_are_kept(cache, monkeypatch):
    monkeypatch.setattr(kept_charts, "MOST", 3)
    drawing = Drawing()
    for number in range(4):
        drawing.drawn([number, 2], "loss")
        for age, file in enumerate(sorted(cache.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)):
            os.utime(file, (1e9 - age, 1e9 - age))
    assert len(list(cache.iterdir())) == 3
    drawing.drawn([3, 2], "loss")
    assert drawing.times == 4
    drawing.drawn([0, 2], "loss")
    assert drawing.times == 5
