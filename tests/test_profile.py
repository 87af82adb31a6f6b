"""Images and labels -> profiles, distances between them, thresholds."""

import json

import numpy as np
import pytest

from components.profile import ASPECTS, Reference, Threshold, distance, means, merged, profile
from components.settings import DataSettings

DATA = DataSettings(shape=(4, 3), pixel_max=16, label_count=3)


def images(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 17, (count, 12), dtype=np.uint8), rng.integers(0, 3, count)


def profile_of(count, seed=0):
    return profile(*images(count, seed), DATA)


def test_the_order_of_rows_leaves_the_bytes_of_a_profile_alone():
    pixels, labels = images(10_000)
    shuffled = np.random.default_rng(1).permutation(len(labels))
    assert json.dumps(profile(pixels, labels, DATA)) == json.dumps(profile(pixels[shuffled], labels[shuffled], DATA))


def test_the_profile_of_a_whole_is_the_sum_of_the_profiles_of_its_parts():
    pixels, labels = images(5_000)
    parts = [profile(pixels[part], labels[part], DATA) for part in (slice(1_234), slice(1_234, None))]
    assert merged(parts) == profile(pixels, labels, DATA)


def test_means_are_fractions_of_the_pixel_maximum_by_row_column_pixel_and_class():
    pixels = np.zeros((2, 12), dtype=np.uint8)
    pixels[:, 0:3] = 16  # the first image row
    found = profile(pixels, np.array([2, 2]), DATA)
    assert means(found, "rows").tolist() == [1, 0, 0, 0]
    assert means(found, "columns").tolist() == [0.25, 0.25, 0.25]
    assert means(found, "pixels").tolist() == [1] * 3 + [0] * 9
    assert means(found, "classes").tolist() == [0, 0, 1]


def test_a_label_outside_the_range_is_counted_as_no_class():
    found = profile(np.zeros((3, 12), dtype=np.uint8), np.array([0, -1, 3]), DATA)
    assert (found["classes"], found["other_labels"], found["rows"]) == ([1, 0, 0], 2, 3)


def test_a_distance_names_the_place_where_two_profiles_differ_most():
    expected = profile(np.full((1, 12), 8, dtype=np.uint8), np.array([0]), DATA)
    pixels = np.full((1, 12), 8, dtype=np.uint8)
    pixels[0, 6:9] = 16  # the third image row
    found = distance(profile(pixels, np.array([0]), DATA), expected, "rows")
    assert (found.place, found.value, found.seen, found.expected) == (2, 0.5, 1.0, 0.5)


@pytest.mark.parametrize("aspect", ASPECTS)
def test_distances_are_symmetric_and_obey_the_triangle_inequality(aspect):
    a, b, c = (profile_of(200, seed) for seed in range(3))
    apart = distance(a, b, aspect).value
    assert apart == distance(b, a, aspect).value
    assert apart <= distance(a, c, aspect).value + distance(c, b, aspect).value


def test_profiles_of_different_geometries_are_not_compared():
    other = DataSettings(shape=(3, 4), pixel_max=16, label_count=3)
    with pytest.raises(ValueError, match=r"4x3-max16-labels3 .* 3x4-max16-labels3"):
        distance(profile_of(5), profile(*images(5), other), "rows")


@pytest.mark.parametrize(
    ("pixels", "labels"),
    [
        pytest.param(np.zeros((2, 11), np.uint8), np.zeros(2, np.int64), id="a pixel missing"),
        pytest.param(np.zeros((2, 12), np.uint8), np.zeros(3, np.int64), id="a label too many"),
        pytest.param(np.zeros((2, 4, 3), np.uint8), np.zeros(2, np.int64), id="images not flat"),
    ],
)
def test_arrays_that_do_not_fit_the_geometry_are_refused(pixels, labels):
    with pytest.raises(ValueError, match="wanted"):
        profile(pixels, labels, DATA)


def test_a_profile_without_rows_has_no_means():
    with pytest.raises(ValueError, match="without rows"):
        means(profile_of(0), "rows")


def test_thresholds_narrow_with_the_root_of_the_rows_down_to_the_floor():
    threshold = Threshold(floor=0.01, scale=1.0)
    assert threshold.drift(100) == pytest.approx(0.11)
    assert threshold.drift(10_000) == pytest.approx(0.02)
    assert threshold.skew(200, 200) == pytest.approx(0.11)


def reference():
    thresholds = {aspect: Threshold(floor=0.01, scale=1.5) for aspect in ASPECTS}
    return Reference(profile=profile_of(50), thresholds=thresholds, calibration={"seed": 1})


def test_a_reference_survives_its_text():
    assert Reference.from_json(reference().to_json()) == reference()


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        pytest.param('"version": 1', '"version": 2', "wanted a reference profile of version 1", id="another version"),
        pytest.param(
            '"profile"', '"profil"', "profile is missing.*unknown key profil: .*did you mean profile", id="no profile"
        ),
        pytest.param(
            '"floor"',
            '"flor"',
            "unknown key thresholds.classes.flor: wanted one of floor, scale: did you mean floor",
            id="misspelt",
        ),
        pytest.param(
            '"image": [', '"image": [1, ', r"a profile of 13 pixels for the shape \[4, 3\]", id="a pixel too many"
        ),
        pytest.param("{", "[", "not readable as JSON", id="no JSON"),
    ],
)
def test_a_damaged_reference_is_refused(was, becomes, message):
    with pytest.raises(ValueError, match=message):
        Reference.from_json(reference().to_json().replace(was, becomes))
