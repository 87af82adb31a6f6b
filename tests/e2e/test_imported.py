"""The lineage of a model that was trained on imported pictures goes back to the picture files, by their bytes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import in_process, mnist_tfx
from PIL import Image
from sklearn.datasets import load_digits

from components.digest import sha256_file
from components.ingest import import_record

pytestmark = pytest.mark.e2e

DIGITS = load_digits()


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> tuple[Path, Path, Path]:
    """Pictures twice the size of the digits, the data files they were imported into, and the root of a run on these."""
    where = tmp_path_factory.mktemp("imported")
    for n, (image, label) in enumerate(zip(DIGITS.images.astype(np.uint8), DIGITS.target, strict=True)):
        (where / "pictures" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.kron(image, np.ones((2, 2), np.uint8))).save(where / f"pictures/{label}/{n}.png")
    answer = in_process("data", "import", where / "pictures", "--to", where / "idx", "--resize", "8x8", "--json")
    assert answer.json["commands"] == [f"mnist-tfx run --data {where}/idx"]
    answer = mnist_tfx("run", "--data", where / "idx", "--root", where / "root", "--json")
    assert answer.code == 0, answer.err
    return where / "pictures", where / "idx", where / "root"


def test_a_picture_is_found_by_its_bytes_in_the_models_it_went_into(imported):
    pictures, _, root = imported
    answer = in_process("lineage", "impact", pictures / "0" / "0.png", "--root", root, "--json")
    assert answer.code == 0, answer.err
    (model,) = answer.json["models"]
    assert answer.json["answer"] == "yes"
    assert {"autoencoder", "classifier"} <= set(model["role"]) or "evaluation" in model["role"]
    assert answer.json["notes"] == ["imported as row 0 of the train part, from 0/0.png"]
    assert [proof["claim"] for proof in answer.json["proofs"]] == ["included"]


def test_a_picture_that_was_not_imported_is_in_no_model(imported, tmp_path):
    root = imported[2]
    Image.fromarray(np.full((8, 8), 3, np.uint8)).save(tmp_path / "other.png")
    answer = in_process("lineage", "impact", tmp_path / "other.png", "--root", root, "--json")
    assert (answer.code, answer.json["answer"]) == (0, "no")


def test_trace_and_show_name_the_source(imported):
    root, count = imported[2], len(DIGITS.target)
    traced = in_process("lineage", "trace", "--root", root, "--json").json
    assert {file["imported_from"].partition(",")[0] for file in traced["data"]} == {"pictures (pictures"}
    assert f"imported from pictures (pictures, {count} files)" in in_process("lineage", "show", "--root", root).out


def integrity(root):
    """Returns what an audit finds of the files of a root."""
    (audit,) = in_process("lineage", "audit", "--root", root, "--json").json["audits"]
    return [(one["where"], one["what"]) for one in audit["findings"] if one["verdict"] == "INTEGRITY"]


def test_the_record_is_kept_under_its_digest_and_a_change_of_it_is_a_finding(imported, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(imported[2], root)
    (kept,) = (root / "inputs").glob("*/import-*.json")
    assert kept.name == import_record.kept_name(import_record.read(imported[1] / "import.json").digest)
    assert integrity(root) == []
    kept.write_bytes(kept.read_bytes().replace(b"0/0.png", b"0/9.png"))
    assert integrity(root) == [(str(kept.relative_to(root)), "was changed")]
    answer = in_process("lineage", "impact", imported[0] / "0" / "0.png", "--root", root, "--json")
    assert (answer.code, answer.json["answer"]) == (5, "cannot-tell")
    kept.unlink()
    assert [what.partition(":")[0] for _, what in integrity(root)] == ["is missing"]


def test_a_record_that_was_changed_is_said_and_not_believed(imported, tmp_path):
    data = tmp_path / "idx"
    shutil.copytree(imported[1], data)
    fields = json.loads((data / "import.json").read_text())
    fields["written"][0]["payload_digest"] = "0" * 64
    (data / "import.json").write_bytes(import_record.to_bytes(fields))
    answer = mnist_tfx("run", "--data", data, "--root", imported[2], "--dry-run", "--json")
    assert answer.code == 0, answer.err
    assert "import.json: tells of other files than those beside it: not believed" in answer.err
    assert answer.states()["ExampleGen"] == "execute"
    again = mnist_tfx("run", "--data", imported[1], "--root", imported[2], "--dry-run", "--json")
    assert (again.states()["ExampleGen"], "import.json" in again.err) == ("cached", False)


@pytest.fixture(scope="module")
def erased(imported, tmp_path_factory):
    """The root after a request about one picture, done as it said: the data written again, and a run on that."""
    where = tmp_path_factory.mktemp("erased")
    pictures = shutil.copytree(imported[0], where / "pictures")
    root = shutil.copytree(imported[2], where / "root", symlinks=True)
    listed, to = where / "exclude.txt", where / "idx-2"
    asked = in_process("lineage", "erase-request", pictures / "0/0.png", "-o", listed, "--root", root, "--json")
    written = in_process("data", "exclude", imported[1], "--rows", listed, "--to", to, "--json")
    assert written.code == 0, written.err
    run = mnist_tfx("run", "--data", to, "--root", root, "--json")
    assert run.code == 0, run.err
    return pictures, root, asked.json, to


def test_a_request_names_the_picture_and_the_files_to_write_again_in_order(imported, erased):
    pictures, _, asked, _ = erased
    named = {one["path"]: one["what"] for one in asked["holders"] if one["kind"] == "picture"}
    assert named == {str(folder / "0/0.png"): "holds the rows" for folder in (pictures, imported[0])}
    commands = [one["command"].partition(" ")[2] for one in asked["commands"]]
    order = [f"data exclude {imported[1]} --rows", "run --data", "serving prune", "lineage gc", f"{pictures}/0/0.png"]
    places = [next(n for n, command in enumerate(commands) if command.startswith(one)) for one in order]
    assert places == sorted(places)
    assert commands[-1].startswith("lineage erase-request")


def test_a_picture_that_is_asked_about_by_its_row_is_found_beside_the_data(imported, erased):
    _, root, asked, _ = erased
    answer = in_process("lineage", "erase-request", asked["rows"][0]["row_digest"], "--root", root, "--json")
    assert [one["path"] for one in answer.json["holders"] if one["kind"] == "picture"] == [str(imported[0] / "0/0.png")]
    answer = in_process("lineage", "erase-request", imported[0] / "0/0.png", "--root", imported[2])
    assert f"{imported[0]}/0/0.png  what was imported: holds the rows" in answer.out


def test_data_without_the_row_still_leads_to_the_other_pictures_and_names_the_one_no_more(erased):
    pictures, root, _, to = erased
    record = import_record.read(to / "import.json")
    assert "0/0.png" not in {file["name"] for file in record.fields["files"]}
    assert len(record.fields["files"]) == len(DIGITS.target) - 1
    shown = in_process("lineage", "show", 2, "--root", root).out
    assert f"imported from pictures (pictures, {len(DIGITS.target) - 1} files)" in shown
    answer = in_process("lineage", "impact", pictures / "1/1.png", "--root", root, "--json")
    assert {model["version"] for model in answer.json["models"]} == {1, 2}
    [origin] = record.rows_of(sha256_file(pictures / "1/1.png"))
    assert f"imported as row {origin.row} of the {origin.split} part, from 1/1.png" in answer.json["notes"]
    assert integrity_of_all(root) == []


def integrity_of_all(root):
    audits = in_process("lineage", "audit", "--root", root, "--json").json["audits"]
    return [one["what"] for audit in audits for one in audit["findings"] if one["verdict"] == "INTEGRITY"]


def test_the_proof_of_absence_holds_for_the_version_without_it_and_the_picture_counts_until_it_is_removed(erased):
    pictures, root, _, _ = erased
    kept = shutil.copy(pictures / "0/0.png", root.parent / "kept.png")
    checked = in_process("lineage", "erase-request", kept, "--check", 2, "--root", root, "--json")
    assert checked.json["absent"]
    assert [proof["claim"] for proof in checked.json["proofs"]] == ["absent"]
    assert checked.code == 1
    assert "picture" in {one["kind"] for one in checked.json["kept"]}
