"""Which files are read, in which order, and what their names say."""

import time

import pytest
from PIL import Image

from components.errors import BadInput, SeveralProblems
from pipeline.predict.files import FOLDERS, NAMES, gather, labelled

DIGITS = tuple("0123456789")


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
    found = gather([folder], labels=None)
    assert [source.path.name for source in found.sources] == ["12.jpg", "3a.png", "7b.png"]
    assert {one.path.name: one.why for one in found.ignored} == {
        "0.png": "no image",
        "more": "a folder",
        "notes.txt": "no image",
    }


def test_names_begin_with_the_truth_when_that_is_said(folder):
    sources, ignored = labelled(gather([folder / "7b.png", folder], labels=NAMES).sources, NAMES, DIGITS)
    assert [(source.path.name, source.truth) for source in sources] == [("7b.png", 7), ("12.jpg", 1), ("3a.png", 3)]
    assert ignored == []


@pytest.mark.parametrize("name", ["seven.png", "²7.png", "-1.png", "٣.png"])
def test_a_name_without_a_digit_does_not_stop_the_others(folder, name):
    Image.new("L", (20, 20)).save(folder / name)
    sources, ignored = labelled(gather([folder], labels=NAMES).sources, NAMES, DIGITS)
    assert len(sources) == 3
    assert [(one.path.name, one.why) for one in ignored] == [(name, "its name does not begin with a class")]


def test_where_no_name_has_a_digit_all_are_said_at_once(tmp_path):
    for name in ("seven.png", "eight.png"):
        Image.new("L", (20, 20)).save(tmp_path / name)
    with pytest.raises(SeveralProblems) as caught:
        labelled(gather([tmp_path], labels=NAMES).sources, NAMES, DIGITS)
    assert [problem.where.name for problem in caught.value.problems] == ["eight.png", "seven.png"]


def test_folders_are_the_truth_when_that_is_said(tmp_path):
    for name in ("3/a.png", "7/b.png", "others/c.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("L", (20, 20)).save(tmp_path / name)
    sources, ignored = labelled(gather([tmp_path], labels=FOLDERS).sources, FOLDERS, DIGITS)
    assert [(source.path.name, source.truth) for source in sources] == [("a.png", 3), ("b.png", 7)]
    assert [one.path.name for one in ignored] == ["c.png"]
    one_class = labelled(gather([tmp_path / "7"], labels=FOLDERS).sources, FOLDERS, DIGITS)[0]
    assert [source.truth for source in one_class] == [7]


def test_data_files_are_tables_where_they_are_named_and_are_said_where_a_folder_has_them(folder):
    (folder / "rows.csv").write_text("1,2,3\n4,5,6\n")
    found = gather([folder / "rows.csv", folder / "3a.png"], labels=None)
    assert ([table.path.name for table in found.tables], len(found.sources)) == (["rows.csv"], 1)
    beside = {one.path.name: one.why for one in gather([folder], labels=None).ignored}
    assert "rows of data" in beside["rows.csv"]


def test_the_sheet_of_the_last_time_is_no_photograph(folder):
    sources = gather([folder], labels=None, besides=((folder / "3a.png").resolve(),)).sources
    assert [source.path.name for source in sources] == ["12.jpg", "7b.png"]


def test_a_folder_without_images_is_refused(folder):
    with pytest.raises(BadInput, match="no PNG"):
        gather([folder / "more"], labels=None)


def test_all_names_of_nothing_are_told_together(folder):
    with pytest.raises(BadInput) as caught:
        gather([folder / "7b.png", folder / "8.png", folder / "9.png"], labels=None)
    assert str(caught.value).count("no such file") == 2


def test_a_named_file_that_is_no_image_is_left_out_where_others_are_images(folder):
    found = gather([folder / "7b.png", folder / "0.png"], labels=None)
    sources, ignored = found.sources, found.ignored
    assert [source.path.name for source in sources] == ["7b.png"]
    assert [(one.path.name, one.named) for one in ignored] == [("0.png", True)]
    with pytest.raises(BadInput, match=r"0.png: cannot be read as an image.*another kind of file"):
        gather([folder / "0.png"], labels=None)


def test_a_named_folder_without_images_is_left_out_where_others_are_images(folder):
    found = gather([folder / "more", folder / "7b.png", folder / "0.png"], labels=None)
    sources, ignored = found.sources, found.ignored
    assert [source.path.name for source in sources] == ["7b.png"]
    assert [(one.path.name, one.named) for one in ignored] == [("more", True), ("0.png", True)]
    assert ignored[0].why == "no PNG, JPEG, BMP, TIFF, GIF or WEBP image in this folder"


def test_all_that_is_no_image_is_said_at_once(folder):
    with pytest.raises(SeveralProblems) as caught:
        gather([folder / "more", folder / "notes.txt", folder / "0.png"], labels=None)
    assert [problem.where.name for problem in caught.value.problems] == ["more", "notes.txt", "0.png"]


def test_a_folder_of_thousands_of_files_is_gone_through_at_once(tmp_path):
    for number in range(3000):
        (tmp_path / f"{number}.txt").touch()
    Image.new("L", (20, 20)).save(tmp_path / "1.png")
    before = time.process_time()
    found = gather([tmp_path], labels=None)
    assert (len(found.sources), len(found.ignored)) == (1, 3000)
    assert time.process_time() - before < 3  # 0.3 s
