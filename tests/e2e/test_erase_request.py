"""A request to delete an image, from the question to the evidence: ask, leave out, run, and show that it is gone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import in_process, mnist_tfx
from PIL import Image

from components.digest import row_digest, row_prefix
from components.ingest import idx
from components.settings import DataSettings
from pipeline.config.exclusions import read_exclusions

pytestmark = pytest.mark.e2e

DIGITS = DataSettings(shape=(8, 8), pixel_max=16)
NOWHERE = "7" * 64


def row(folder: Path, number: int) -> tuple[np.ndarray, str]:
    """The image of a row and its digest."""
    files = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"
    [chunk] = idx.iter_chunks(*files, rows=1 << 20, data=DIGITS)
    image = chunk.pixels.reshape(-1, 8, 8)[number]
    return image, row_digest(row_prefix(8, 8), image.tobytes(), int(chunk.labels[number])).hex()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, digits_folder):
    """Three rows of the data as pictures, and a fourth picture that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in (0, 5, 7):
        Image.fromarray(row(digits_folder, number)[0]).save(folder / f"{number}.png")
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) % 17).save(folder / "other.png")
    return folder


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A user's cache that no other test writes to or collects from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_TFX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def walked(tmp_path_factory, first_run, digits_folder, pictures):
    """A root after the request: what was asked, the data without row 0, and the run on it that leaves out row 5 as well."""
    root = tmp_path_factory.mktemp("erased") / "root"
    shutil.copytree(first_run[0], root, symlinks=True)
    listed, to = root.parent / "exclude.txt", root.parent / "data-2"
    in_process("report", "--root", root)  # whose chapters are in this cache then
    asked = in_process("lineage", "erase-request", pictures / "0.png", "-o", listed, "--root", root, "--json")
    written = in_process("data", "exclude", digits_folder, "--rows", listed, "--to", to, "--json")
    assert written.json["left_out"] == {"train": 1}, written.err
    more = root.parent / "more.txt"
    more.write_text(f"{row(digits_folder, 5)[1]}\n{NOWHERE}  # of another data set\n")
    stated = ["--set", "data.source=UCI, as scikit-learn has it", "--set", "data.licence=CC BY 4.0"]
    run = mnist_tfx("run", "--data", to, "--exclude", more, *stated, "--root", root, "--json")
    assert run.code == 0, run.err
    return root, asked, run


def erase_request(root: Path, *arguments: object):
    return in_process("lineage", "erase-request", *arguments, "--root", root, "--json")


def test_the_question_is_answered_with_rows_models_files_and_what_to_do(first_run, walked, digits_folder):
    root, asked, _ = walked
    data = asked.json
    assert [one["row_digest"] for one in data["rows"]] == [row(digits_folder, 0)[1]]
    assert [(one["version"], one["served"]) for one in data["models"]] == [(1, True)]
    assert {one["kind"] for one in data["holders"]} == {"copy of the data", "source", "examples", "report"}
    assert str(digits_folder / "train-images-idx3-ubyte") in {one["path"] for one in data["holders"]}
    commands = [one["command"] for one in data["commands"]]
    assert f"data exclude {digits_folder} --rows {root.parent / 'exclude.txt'} --to data-2" in commands[0]
    assert "run --data data-2 --root" in commands[1]
    assert "serving prune --keep 1" in commands[2]
    assert f"rm {digits_folder / 'train-images-idx3-ubyte'}" in commands[-3:-1]
    assert "--check 2" in commands[-1]
    assert all(path.exists() for path in (first_run[0] / "serving" / "1", root / "serving" / "1"))


def test_the_run_says_what_it_left_out_and_what_it_did_not_find(walked):
    _, _, run = walked
    assert "ExampleGen left out 1 row (" in run.err
    assert f"warning: ExampleGen: 1 of 2 digests to leave out match no row: {NOWHERE[:12]}" in run.err
    assert run.json["version"] == 2


def test_the_new_version_is_proven_to_be_without_it_and_the_old_one_is_not(walked, pictures):
    root, _, _ = walked
    new, old = (erase_request(root, pictures / "0.png", "--check", version) for version in (2, 1))
    assert new.json["absent"]
    assert [one["claim"] for one in new.json["proofs"]] == ["absent"]
    assert new.json["proofs"][0]["root"] == new.json["roots"][0]
    assert not old.json["absent"]
    assert old.json["learned"]
    # What the root keeps beside the version holds it still: that is said, and no yes.
    assert (new.code, old.code) == (1, 1)


@pytest.mark.parametrize("form", ["picture", "row digest"])
def test_impact_names_the_old_version_alone_however_it_is_asked(walked, pictures, digits_folder, form):
    given = pictures / "0.png" if form == "picture" else row(digits_folder, 0)[1]
    found = in_process("lineage", "impact", given, "--root", walked[0], "--json").json
    assert [one["version"] for one in found["models"]] == [1]


def test_a_later_request_keeps_what_was_left_out_before(walked, pictures, digits_folder, tmp_path):
    listed = tmp_path / "exclude.txt"
    erase_request(walked[0], pictures / "7.png", "-o", listed)
    assert set(read_exclusions(listed)) == {NOWHERE, row(digits_folder, 5)[1], row(digits_folder, 7)[1]}


def test_a_picture_that_is_no_row_gets_a_no_with_what_it_rests_on(walked, pictures):
    answer = erase_request(walked[0], pictures / "other.png")
    assert answer.code == 0
    assert answer.json["answer"] == "no"
    assert answer.json["commands"] == []
    assert any("compared by pixels" in line for line in answer.json["basis"])


def test_after_prune_and_gc_nothing_holds_it_and_a_copy_holds_what_was_only_left_out(walked, pictures, tmp_path):
    root = shutil.copytree(walked[0], tmp_path / "root", symlinks=True)
    assert in_process("serving", "prune", "--keep", "1", "--root", root).code == 0
    # Chapters of the report in the user's cache have pictures as well, and lie in no root.
    cached = [
        Path(one["path"]) for one in walked[1].json["holders"] if one["kind"] == "report" and one["path"][0] == "/"
    ]
    assert {one.is_file() for one in cached} == {True}
    assert {f"rm -f {one}" for one in cached} <= {one["command"] for one in walked[1].json["commands"]}
    assert in_process("lineage", "gc", "--keep-runs", "0", "--root", root).code == 0
    assert {one.is_file() for one in cached} == {False}
    shutil.rmtree(root / "reports")
    gone, checked = (erase_request(root, pictures / f"{number}.png", "--check", 2) for number in (0, 5))
    assert (gone.code, gone.json["absent"], gone.json["kept"], gone.json["unknown"]) == (0, True, [], [])
    assert (checked.code, checked.json["absent"]) == (1, True)
    assert {one["kind"] for one in checked.json["kept"]} == {"copy of the data", "source"}
    [audit] = in_process("lineage", "audit", "--root", root, "--json").json["audits"]
    assert (audit["verdicts"]["INTEGRITY"], audit["verdicts"]["COMPLETENESS"]) == ("PASS", "PASS")
    # Which models learned from it is not known any more, but where it is kept is.
    again = erase_request(root, pictures / "5.png")
    assert again.code == 5
    assert [one["kind"] for one in again.json["holders"]][:1] == ["copy of the data"]


def test_evidence_says_what_was_left_out_and_what_is_stated_of_the_data(walked, tmp_path):
    in_process("lineage", "evidence", "2", "-o", tmp_path / "e.html", "--root", walked[0])
    page = (tmp_path / "e.html").read_text()
    assert "1 row on purpose" in page
    assert "UCI, as scikit-learn has it" in page
    assert "CC BY 4.0" in page
    bill = json.loads(in_process("lineage", "export", "2", "--format", "cyclonedx", "--root", walked[0]).out)
    card = bill["metadata"]["component"]["modelCard"]
    properties = {one["name"]: one["value"] for one in card["properties"]}
    assert properties["mnist-tfx:data.licence"] == "CC BY 4.0"
    assert properties["mnist-tfx:data.excluded"] == "1"
    [accuracy] = [one for one in card["quantitativeAnalysis"]["performanceMetrics"] if one["type"] == "accuracy"]
    interval = accuracy["confidenceInterval"]
    assert float(interval["lowerBound"]) < float(accuracy["value"]) < float(interval["upperBound"])


def test_diff_says_that_a_row_was_left_out(walked):
    changed = in_process("lineage", "diff", "1", "2", "--root", walked[0], "--json").json
    assert "data.exclude" in str(changed)


def test_a_digest_that_is_no_row_is_refused(walked):
    newest = {json.loads(path.read_text())["kind"]: path.stem for path in (walked[0] / "records").iterdir()}
    assert set(newest) == {"execution", "run"}
    for record in newest.values():
        answer = erase_request(walked[0], record)
        assert answer.code == 2
        assert "no digest of a row" in answer.err
