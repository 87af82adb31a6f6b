"""Which files are read, in which order, and what their names say."""

import time

import pytest
from PIL import Image

from components.errors import BadInput, SeveralProblems
from pipeline.predict.files import gather


@pytest.fixture
def folder(tmp_path):
    for name in ("7b.png", "3a.png", "12.jpg"):
        Image.new("L", (20, 20)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("seven")
    (tmp_path / "0.png").write_text("no image")
    (tmp_path / ".hidden.png").write_text("")
    (tmp_path / "more").mkdir()
    return tmp_path


def test_a_folder_gives_its_images_by_name_and_names_the_rest(folder):
    sources, ignored = gather([folder], labelled=False, besides=None)
    assert [source.path.name for source in sources] == ["12.jpg", "3a.png", "7b.png"]
    assert {one.path.name: one.why for one in ignored} == {
        "0.png": "no image",
        "more": "a folder",
        "notes.txt": "no image",
    }


def test_names_begin_with_the_truth_when_that_is_said(folder):
    sources, _ = gather([folder / "7b.png", folder], labelled=True, besides=None)
    assert [(source.path.name, source.truth) for source in sources] == [("7b.png", 7), ("12.jpg", 1), ("3a.png", 3)]


def test_what_is_no_image_needs_no_digit_in_its_name(folder):
    assert gather([folder], labelled=True, besides=None)[1]


@pytest.mark.parametrize("name", ["seven.png", "²7.png", "-1.png", "٣.png"])
def test_a_name_without_a_digit_is_refused(folder, name):
    Image.new("L", (20, 20)).save(folder / name)
    with pytest.raises(BadInput, match="does not begin with a digit"):
        gather([folder], labelled=True, besides=None)


def test_the_sheet_of_the_last_time_is_no_photograph(folder):
    sources, _ = gather([folder], labelled=False, besides=(folder / "3a.png").resolve())
    assert [source.path.name for source in sources] == ["12.jpg", "7b.png"]


def test_a_folder_without_images_is_refused(folder):
    with pytest.raises(BadInput, match="no PNG"):
        gather([folder / "more"], labelled=False, besides=None)


def test_all_names_of_nothing_are_told_together(folder):
    with pytest.raises(BadInput) as caught:
        gather([folder / "7b.png", folder / "8.png", folder / "9.png"], labelled=False, besides=None)
    assert str(caught.value).count("no such file") == 2


def test_a_named_file_that_is_no_image_is_left_out_where_others_are_images(folder):
    sources, ignored = gather([folder / "7b.png", folder / "0.png"], labelled=False, besides=None)
    assert [source.path.name for source in sources] == ["7b.png"]
    assert [(one.path.name, one.named) for one in ignored] == [("0.png", True)]
    with pytest.raises(BadInput, match=r"0.png: cannot be read as an image.*another kind of file"):
        gather([folder / "0.png"], labelled=False, besides=None)


def test_a_named_folder_without_images_is_left_out_where_others_are_images(folder):
    sources, ignored = gather([folder / "more", folder / "7b.png", folder / "0.png"], labelled=False, besides=None)
    assert [source.path.name for source in sources] == ["7b.png"]
    assert [(one.path.name, one.named) for one in ignored] == [("more", True), ("0.png", True)]
    assert ignored[0].why == "no PNG, JPEG, BMP or TIFF image in this folder"


def test_all_that_is_no_image_is_said_at_once(folder):
    with pytest.raises(SeveralProblems) as caught:
        gather([folder / "more", folder / "notes.txt", folder / "0.png"], labelled=False, besides=None)
    assert [problem.where.name for problem in caught.value.problems] == ["more", "notes.txt", "0.png"]


def test_all_names_without_a_digit_are_said_at_once(folder):
    for name in ("seven.png", "eight.png"):
        Image.new("L", (20, 20)).save(folder / name)
    with pytest.raises(SeveralProblems) as caught:
        gather([folder], labelled=True, besides=None)
    assert [problem.where.name for problem in caught.value.problems] == ["eight.png", "seven.png"]


def test_a_folder_of_thousands_of_files_is_gone_through_at_once(tmp_path):
    for number in range(3000):
        (tmp_path / f"{number}.txt").touch()
    Image.new("L", (20, 20)).save(tmp_path / "1.png")
    before = time.process_time()
    sources, ignored = gather([tmp_path], labelled=False, besides=None)
    assert (len(sources), len(ignored)) == (1, 3000)
    assert time.process_time() - before < 3  # 0.3 s
