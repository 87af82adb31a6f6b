"""Which answers are doubted, calibrated on rows held out; a nearest-mean classifier stands for the model."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from components.settings import DataSettings
from pipeline.predict.answer import Answer
from pipeline.predict.doubt import FEWEST, OTHER_CLASS, UNLIKE, UNSURE, Judge
from pipeline.predict.training_data import TrainingData
from pipeline.report.example_rows import ImageRows

EIGHT = DataSettings(shape=(8, 8), pixel_max=16)
DIGITS = load_digits()
IMAGES, LABELS = DIGITS.images.astype(np.uint8), DIGITS.target
TRAIN = ImageRows(IMAGES[:1000].reshape(1000, -1), LABELS[:1000])
HELD_OUT = ImageRows(IMAGES[1000:1400].reshape(400, -1), LABELS[1000:1400])
MEANS = np.stack([IMAGES[:1000][LABELS[:1000] == label].mean(axis=0) for label in range(10)])


def ask(images):
    """Answers by the nearest class mean, as sure as that is near."""
    found = []
    for image in images:
        scores = np.exp(-np.square((MEANS - image) / 16).sum(axis=(1, 2)))
        shares = scores / scores.sum()
        first, second = np.argsort(-shares)[:2]
        found.append(
            Answer(
                label=int(first),
                probability=float(shares[first]),
                second=int(second),
                second_probability=float(shares[second]),
                probabilities=np.empty(0),
                reconstruction=None,
            )
        )
    return found


@pytest.fixture(scope="module")
def judge():
    return Judge(TrainingData(train=TRAIN, held_out=HELD_OUT, profile={}), EIGHT, ask)


def doubts(judge, *images):
    images = np.array(images, np.uint8)
    return judge.doubts(images, ask(images))


def test_few_rows_like_the_data_are_doubted_and_many_of_the_wrong_answers(judge):
    calibration = judge.calibration
    assert calibration.rows == 400
    assert 0 < calibration.doubted <= 0.06  # 2 % by each of two tests, and by the third none
    assert calibration.wrong_doubted / calibration.wrong > 4 * calibration.doubted


def test_rows_that_neither_training_nor_calibration_saw_are_doubted_as_often(judge):
    found = doubts(judge, *IMAGES[1400:])
    assert sum(map(bool, found)) / len(found) < judge.calibration.doubted + 0.08


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.indices((8, 8)).sum(axis=0) % 2 * 16, id="a chessboard"),
        pytest.param(np.full((8, 8), 16), id="ink all over"),
        pytest.param(16 - IMAGES[1500], id="a negative"),
    ],
)
def test_what_is_unlike_any_digit_is_doubted_for_that(judge, image):
    assert UNLIKE in doubts(judge, image)[0]


def test_a_picture_between_two_classes_is_doubted(judge):
    one, other = (IMAGES[:1000][LABELS[:1000] == label][0].astype(int) for label in (0, 1))
    assert set(doubts(judge, (one + other) // 2)[0]) & {UNSURE, OTHER_CLASS}


def test_a_clean_digit_is_not_doubted(judge):
    assert doubts(judge, MEANS[0].round(), MEANS[6].round()) == [(), ()]
    assert judge.doubts(np.zeros((0, 8, 8), np.uint8), []) == []


def test_with_hardly_any_row_held_out_nothing_is_claimed():
    few = ImageRows(HELD_OUT.images[: FEWEST - 1], HELD_OUT.labels[: FEWEST - 1])
    with pytest.raises(ValueError, match="only 49 rows were held out"):
        Judge(TrainingData(train=TRAIN, held_out=few, profile={}), EIGHT, ask)


def test_a_class_without_training_rows_is_no_reason_to_fail():
    kept = TRAIN.labels != 3
    train = ImageRows(TRAIN.images[kept], TRAIN.labels[kept])
    judge = Judge(TrainingData(train=train, held_out=HELD_OUT, profile={}), EIGHT, ask)
    assert judge.calibration.rows == 400
