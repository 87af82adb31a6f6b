"""The contact sheet: everything on it, the right size, and never over somebody's photograph."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.errors import BadInput
from components.serving import ServedVersion
from components.settings import DataSettings
from pipeline.predict import sheet
from pipeline.predict.answer import Answer, Version
from pipeline.predict.digit import Digit
from pipeline.predict.files import Source
from pipeline.predict.photograph import THUMBNAIL
from pipeline.predict.prediction import Prediction, Predictions, Reading

VERSION = Version(served=ServedVersion(3, Path("serving/3")), data=DataSettings(shape=(8, 8), pixel_max=16))


def prediction(name="7.png", label=7, truth=None, count=1, *, reconstructed=True):
    drawn = np.full((8, 8), 16, np.float32) if reconstructed else None
    saw = np.full((8, 8), 16, np.uint8)
    answer = Answer(
        label=label, probability=0.9, second=1, second_probability=0.05, probabilities=np.empty(0), reconstruction=drawn
    )
    return Prediction(
        source=Source(Path(name), named=True, truth=truth),
        thumbnail=np.full((60, 96, 3), 200, np.uint8),
        dark=True,
        readings=tuple(
            Reading(digit=Digit(image=saw), image=saw, answer=answer if count == 1 else None) for _ in range(count)
        ),
    )


def predictions(*files):
    return Predictions(version=VERSION, files=files, ignored=())


@pytest.mark.parametrize("count", [1, 2, 7, 60])
def test_every_file_has_a_cell_inside_the_sheet(count):
    found = predictions(*[prediction()] * count)
    layout, drawn = sheet.layout_of(found), sheet.draw(found)
    assert drawn.size == layout.size
    corners = {layout.corner(index) for index in range(count)}
    assert len(corners) == count
    assert all(left + layout.cell_width <= drawn.width for left, _ in corners)
    assert all(top + THUMBNAIL <= drawn.height for _, top in corners)


def test_a_model_without_an_autoencoder_has_one_picture_less():
    assert sheet.layout_of(predictions(prediction(reconstructed=False))).pictures == 2
    assert sheet.layout_of(predictions(prediction())).pictures == 3


def test_what_the_model_saw_is_on_it():
    drawn = np.asarray(sheet.draw(predictions(prediction())))
    left, top = sheet.layout_of(predictions(prediction())).corner(0)
    assert (drawn[top + 40, left + 40] == 200).all()
    assert (drawn[top + 40, left + THUMBNAIL + sheet.MARGIN + 40] == 255).all()


def test_empty_and_crowded_photographs_are_drawn_as_well():
    found = predictions(prediction(count=0, truth=4), prediction(count=3), prediction("7" * 80 + "\n.png", truth=1))
    assert sheet.draw(found).size == sheet.layout_of(found).size


def test_a_sheet_is_written_whole(tmp_path):
    sheet.write(tmp_path / "sheet.png", predictions(prediction()))
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
    assert Image.open(tmp_path / "sheet.png").size == sheet.layout_of(predictions(prediction())).size


def test_a_sheet_that_would_do_harm_is_refused(tmp_path):
    photograph = tmp_path / "7.png"
    photograph.touch()
    for path in (photograph, tmp_path / "no" / "sheet.png", tmp_path / "sheet.jpg"):
        with pytest.raises(BadInput):
            sheet.require_writable(path, [photograph])
    sheet.require_writable(tmp_path / "sheet.png", [photograph])


def test_accuracy_counts_no_answer_as_a_wrong_one():
    found = predictions(prediction(truth=7), prediction(truth=7, count=0), prediction(truth=2), prediction(truth=7))
    assert found.accuracy == 0.5
    assert len(found.wrong) == 2


def test_several_digits_are_refused_with_their_number():
    assert predictions(prediction()).refusal is None
    refusal = predictions(prediction(), prediction("12.png", count=2), prediction("345.png", count=3)).refusal
    assert refusal == "12.png: wanted one digit, got 2, and 1 more like it: --many reads each"
