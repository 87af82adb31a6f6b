"""From a data file, however it is packed, or from any digest, to the models that it went into."""

import gzip
import shutil

import many_records
import numpy as np
import pytest
from command_line import PROJECT, in_process, mnist_tfx
from data_forms import write_parquet, write_table
from PIL import Image

from components.digest import sha256_file
from components.errors import BadInput
from components.ingest import idx
from pipeline.lineage.impact import impact
from pipeline.lineage.index import open_lineage
from pipeline.lineage.rows.given_rows import read_row, settings_of
from pipeline.lineage.rows.images import Picture
from pipeline.lineage.rows.index import open_index
from pipeline.provenance.ledger import read_ledger


def roles(found):
    return [(model.version, model.role) for model in found.models]


# --- by digest, on a root without row indexes ---


@pytest.fixture
def history(root):
    return open_lineage(root.path)


@pytest.mark.parametrize(
    ("digest", "role"),
    [
        ("record ExampleGen", ("autoencoder", "classifier", "evaluation")),
        ("record ReviewedSchema", ("autoencoder", "classifier", "evaluation")),
        ("record Autoencoder", ("autoencoder",)),
        ("record Classifier", ("classifier",)),
        ("record Baseline", ("evaluation",)),
        ("record Pusher", ("publication",)),
        ("record SavedModelCheck", ("publication",)),
        ("artifact Autoencoder model", ("autoencoder",)),
        ("artifact Classifier model", ("itself",)),
        ("artifact Transform transform_graph", ("autoencoder", "classifier")),
        ("file Classifier model", ("itself",)),
    ],
)
def test_a_digest_is_followed_to_the_part_it_had(root, history, digest, role):
    kind, node, *channel = digest.split()
    hash_, record = root.known[node]
    entry = record.outputs[channel[0]][0] if channel else None
    file = next(iter(entry.files.values()))["sha256"] if entry else None
    found = impact(history, [{"record": hash_, "artifact": entry and entry.sha256, "file": file}[kind]])
    assert roles(found) == [(1, role)]
    assert found.models[0].served


def test_what_nobody_reads_went_into_no_model(root, history):
    run = root.known["Classifier"][1].outputs["model_run"][0].sha256
    assert impact(history, [run]).models == ()


def test_a_data_file_known_by_digest_alone_has_the_role_of_its_part(root, history):
    [images, _] = root.known["ExampleGen"][1].sources
    assert roles(impact(history, [images.payload_digest])) == [(1, ("autoencoder", "classifier", "evaluation"))]


def test_the_digest_of_a_packed_file_leads_to_its_payload(history):
    [container] = [
        packed for packed, payload in history.containers.items() if history.names[payload].startswith("train-im")
    ]
    assert impact(history, [container]).models


def test_the_same_code_file_reaches_every_node_that_runs_it(root, history):
    code = root.known["Classifier"][1].code
    found = impact(history, [code.files["components/digest.py"]])
    assert {one.step.node for one in found.found} == set(root.known)
    assert impact(history, [code.digest]).models[0].role == ("autoencoder", "classifier", "evaluation")


def test_models_that_were_never_pushed_or_are_no_longer_served_are_said_to_be(root):
    root.execute("Classifier", salt="unpushed")
    shutil.rmtree(root.paths.serving / "1")
    found = impact(open_lineage(root.path), [root.known["Autoencoder"][0]])
    assert [(model.version, model.served) for model in found.models] == [(1, False), (None, False)]


def test_a_model_that_is_served_again_is_named_by_both_versions(root):
    shutil.copytree(root.paths.serving / "1", root.paths.serving / "2")
    model = root.known["Classifier"][1].outputs["model"][0]
    root.ledger.pushed(node="Pusher", run_id="run-1", version=2, digest=model.sha256)
    assert [m.version for m in impact(open_lineage(root.path), [root.known["Autoencoder"][0]]).models] == [1, 2]


@pytest.mark.parametrize("given", [["no such file"], ["abc"], ["0" * 63]])
def test_what_is_neither_file_nor_digest_is_refused(history, given):
    with pytest.raises(BadInput, match="no such file, and not a digest"):
        impact(history, given)


EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("digest", ["0" * 64, EMPTY])
def test_of_a_digest_that_nothing_here_has_it_cannot_be_told(history, digest):
    answer = impact(history, [digest])
    assert (answer.answer, answer.models) == ("cannot-tell", ())
    assert answer.unknown


def test_a_digest_may_be_written_as_tools_write_it(root, history):
    assert impact(history, [f"sha256:{root.known['Autoencoder'][0].upper()}"]).answer == "yes"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"nothing of interest"),
        ("empty", b""),
        ("archive.zip", b"PK\x03\x04 and so on"),
        ("columns.parquet", b"PAR1" + bytes(60)),
        ("columns.h5", b"\x89HDF\r\n\x1a\n" + bytes(60)),
        ("arrays.pkl", b"\x80\x04\x95" + bytes(60)),
        ("labels", b"\0\0\x08\x01\0\0\0\x02\1\2"),
        ("floats", b"\0\0\x0d\x03" + bytes(12)),
        ("damaged.npy", b"\x93NUMPY\1\0\xff"),
        ("model.bin", bytes(range(128, 256))),
    ],
)
def test_what_was_compared_with_nothing_is_not_said_to_have_gone_nowhere(history, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    answer = impact(history, [str(tmp_path / name)])
    assert (answer.answer, answer.models, answer.basis) == ("cannot-tell", (), ())
    assert answer.unknown


@pytest.mark.parametrize(("name", "text"), [("a.py", "import os\n"), ("s.pbtxt", 'feature {\n  name: "x"\n}\n')])
def test_code_and_schemas_are_known_by_their_digest_alone_and_that_is_said(history, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    answer = impact(history, [str(tmp_path / name)])
    assert answer.answer == "no"
    assert answer.basis == ("its digest occurs in no record of this root; nothing but the digest was compared",)


def test_what_is_on_record_and_reached_no_model_is_a_no_with_its_reason(root, history):
    run = root.known["Classifier"][1].outputs["model_run"][0].sha256
    answer = impact(history, [run])
    assert answer.answer == "no"
    assert "no model on record was made from that" in answer.basis[0]


@pytest.mark.parametrize("as_a", ["digest", "file"])
def test_the_record_of_a_run_is_known_as_that_and_nothing_comes_of_it(root, history, as_a):
    hash_ = read_ledger(root.paths.ledger).run_record(root.run_id)
    answer = impact(history, [{"digest": hash_, "file": str(root.paths.records / f"{hash_}.json")}[as_a]])
    assert (answer.answer, answer.unknown) == ("no", ())
    assert answer.basis[0].startswith("it is the record of a run")


@pytest.mark.parametrize("break_", ["without provenance", "of a model that no record tells of"])
def test_a_served_version_of_unknown_origin_leaves_every_no_open(root, tmp_path, break_):
    shutil.copytree(root.paths.serving / "1", root.paths.serving / "7")
    provenance = root.paths.serving / "7" / "assets.extra" / "provenance.json"
    if break_ == "without provenance":
        provenance.unlink()
    else:
        digest = root.known["Classifier"][1].outputs["model"][0].sha256
        provenance.write_text(provenance.read_text().replace(digest, "0" * 64))
    (tmp_path / "a.py").write_text("import os\n")
    answer = impact(open_lineage(root.path), [str(tmp_path / "a.py")])
    assert answer.answer == "cannot-tell"
    assert "7" in answer.unknown[0]


def test_a_folder_without_a_model_is_no_version_and_leaves_nothing_open(root, tmp_path):
    (root.paths.serving / "99").mkdir()
    (tmp_path / "a.py").write_text("import os\n")
    assert impact(open_lineage(root.path), [str(tmp_path / "a.py")]).answer == "no"


def test_every_model_downstream_of_the_first_file_is_found_in_a_deep_and_wide_store(tmp_path):
    many = many_records.build(tmp_path / "root", generations=130, runs=3)
    found = impact(open_lineage(many.root), [many.first_payload])
    assert len(found.models) == many.versions - (many.runs - 1)
    assert found.models[0].role == ("autoencoder", "classifier", "evaluation")
    assert {model.role for model in found.models[1:]} == {("autoencoder",)}
    later = ("Autoencoder", "Classifier", "Baseline", "Evaluator", "SavedModelCheck", "Pusher")
    executions = (many.generations - 1) * many.runs * len(later) + len(many_records.NODES) - 1
    assert found.nodes_visited == 1 + executions + len(found.models)


# --- by content, on a root that a run has left ---


@pytest.fixture(scope="module")
def pair(digits_folder):
    return tuple(sorted(digits_folder.iterdir()))


@pytest.fixture(scope="module")
def digits(pair):
    [chunk] = idx.iter_chunks(*pair, rows=10_000)
    return chunk.pixels.reshape(-1, 8, 8), chunk.labels


@pytest.fixture(scope="module")
def ran(first_run):
    return open_lineage(first_run[0])


def as_csv(path, images, labels, *, label_first):
    rows = [
        [label, *image.ravel()] if label_first else [*image.ravel(), label]
        for image, label in zip(images, labels, strict=True)
    ]
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return path


ALL_ROLES = ("autoencoder", "classifier", "evaluation")


@pytest.mark.fault(20)
@pytest.mark.e2e
def test_a_renamed_or_packed_file_is_found_by_its_payload(ran, pair, tmp_path):
    renamed, packed = tmp_path / "renamed.bin", tmp_path / "packed"
    shutil.copy(pair[0], renamed)
    packed.write_bytes(gzip.compress(pair[0].read_bytes()))
    for file in (*pair, renamed, packed):
        found = impact(ran, [str(file)])
        assert roles(found) == [(1, ALL_ROLES)]
        assert (found.models[0].match, found.models[0].whole, found.models[0].served) == ("payload", True, True)


@pytest.mark.e2e
@pytest.mark.parametrize("label_first", [True, False])
def test_the_rows_are_found_as_csv_in_any_order_and_in_pieces(ran, digits, tmp_path, label_first):
    images, labels = digits
    order = np.random.default_rng(0).permutation(len(labels))
    file = as_csv(tmp_path / "rows.txt", images[order][:700], labels[order][:700], label_first=label_first)
    [model] = impact(ran, [str(file)]).models
    assert (model.match, model.whole, model.role) == ("rows", True, ALL_ROLES)
    assert model.shared.total == sum(model.shared.splits.values()) == 700


@pytest.mark.e2e
@pytest.mark.parametrize("form", ["parquet", "csv", "npy"])
def test_the_rows_are_found_in_forms_that_were_never_ingested(ran, digits, tmp_path, form):
    images, labels = digits
    files = [tmp_path / f"X_train.{form}", tmp_path / f"y_train.{form}"]
    if form == "parquet":
        files = [write_parquet(tmp_path / "part.parquet", images[:300], labels[:300])]
    elif form == "csv":
        write_table(files[0], images[:300].reshape(300, -1).tolist())
        write_table(files[1], [[label] for label in labels[:300]])
    else:
        np.save(files[0], images[:300])
        np.save(files[1], labels[:300])
    for given in (files, [tmp_path]):
        [model] = impact(ran, list(map(str, given))).models
        assert (model.match, model.whole, model.shared.total) == ("rows", True, 300)
    assert read_row(files, 7, settings_of(ran.ingests)).pixels == images[7].tobytes()


@pytest.mark.e2e
def test_a_file_that_overlaps_in_part_gives_the_number_of_shared_rows(ran, digits, tmp_path):
    images, _ = digits
    mixed = np.concatenate([images[:100], np.full((5, 8, 8), 7, np.uint8)])
    idx.write_images(tmp_path / "mixed", mixed)
    [model] = impact(ran, [str(tmp_path / "mixed")]).models
    fields = model.to_dict()
    assert (fields["match"], fields["whole"], fields["shared_rows"]) == ("pixels", False, 100)
    assert sum(fields["shared_rows_by_split"].values()) == 100


@pytest.mark.e2e
def test_rows_of_the_test_split_went_into_the_evaluation_alone(ran, digits, tmp_path):
    images, _ = digits
    tested = set(open_index(ran.root, ran.ingests[0]).splits["test"].pixels())
    chosen = [i for i in images if Picture(height=8, width=8, pixels=i.tobytes()).digest in tested]
    idx.write_images(tmp_path / "tested", np.array(chosen))
    [model] = impact(ran, [str(tmp_path / "tested")]).models
    assert model.role == ("evaluation",)
    assert model.shared.splits["train"] == model.shared.splits["validation"] == 0


@pytest.mark.e2e
def test_relabelled_rows_are_other_rows_but_the_same_images(ran, pair, digits, tmp_path):
    idx.write_labels(tmp_path / "other-labels", (digits[1] + 1) % 10)
    relabelled = impact(ran, [str(pair[0]), str(tmp_path / "other-labels")])
    assert relabelled.compared[0].match == "pixels"
    assert "under other labels" in relabelled.notes[0]
    same = impact(ran, [str(pair[0]), str(pair[1])])
    assert (same.compared[0].match, same.models[0].shared.total, same.notes) == ("rows", len(digits[1]), ())


@pytest.mark.e2e
def test_relabelled_rows_of_a_csv_went_into_a_model_all_the_same(ran, digits, tmp_path):
    file = as_csv(tmp_path / "relabelled", digits[0][:40], (digits[1][:40] + 1) % 10, label_first=True)
    [model] = impact(ran, [str(file)]).models
    assert (model.match, model.shared.total) == ("pixels", 40)


@pytest.mark.e2e
@pytest.mark.parametrize("label_first", [True, False])
def test_a_csv_of_one_digit_is_read_with_either_end_as_its_label(ran, digits, tmp_path, label_first):
    sevens = digits[1] == 7
    file = as_csv(tmp_path / "sevens", digits[0][sevens], digits[1][sevens], label_first=label_first)
    [model] = impact(ran, [str(file)]).models
    assert (model.match, model.whole) == ("rows", True)


@pytest.mark.e2e
def test_a_duplicate_counts_as_often_as_both_have_it(ran, digits, tmp_path):
    idx.write_images(tmp_path / "again", np.concatenate([digits[0][:3]] * 4))
    [model] = impact(ran, [str(tmp_path / "again")]).models
    assert (model.shared.total, model.whole) == (3, False)


@pytest.mark.e2e
def test_a_served_directory_and_a_code_file_are_found_too(ran, first_run):
    assert roles(impact(ran, [str(first_run[0] / "serving" / "1")])) == [(1, ("itself",))]
    assert roles(impact(ran, [str(PROJECT / "components" / "classifier" / "model.py")])) == [(1, ("classifier",))]
    assert impact(ran, [sha256_file(PROJECT / "requirements.lock")]).models


@pytest.mark.e2e
def test_a_packed_file_that_is_cut_short_is_one_line(ran, pair, tmp_path):
    file = tmp_path / "cut.gz"
    file.write_bytes(gzip.compress(pair[0].read_bytes())[:-20])
    with pytest.raises(BadInput, match=r"cut\.gz: gzip data is cut short"):
        impact(ran, [str(file)])


@pytest.mark.e2e
def test_without_its_row_index_a_file_is_found_by_its_payload_and_it_is_said(first_run, pair, tmp_path):
    root = shutil.copytree(first_run[0], tmp_path / "root", symlinks=True)
    shutil.rmtree(root / "artifacts" / "ExampleGen")
    found = impact(open_lineage(root), [str(pair[0])])
    assert roles(found) == [(1, ALL_ROLES)]
    assert "was not compared" in found.unknown[0]


@pytest.mark.e2e
@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_without_a_row_index_it_cannot_be_told_and_never_a_no(first_run, digits, tmp_path, damage):
    root = shutil.copytree(first_run[0], tmp_path / "root", symlinks=True)
    for index in (root / "artifacts" / "ExampleGen").rglob("row_index/train.npy"):
        index.unlink() if damage == "gone" else index.write_bytes(index.read_bytes()[:-1] + b"x")
    idx.write_images(tmp_path / "some", digits[0][:9])
    answer = impact(open_lineage(root), [str(tmp_path / "some")])
    assert (answer.answer, answer.basis) == ("cannot-tell", ())
    assert "was not compared" in answer.unknown[0]
    assert "run again" in answer.hint


@pytest.mark.e2e
def test_the_answer_is_json_by_its_schema_and_a_table(first_run, pair):
    root = first_run[0]
    for given, status in ((pair[0], "ok"), ("0" * 64, "unknown"), (root / "serving" / "1", "ok")):
        assert in_process("lineage", "impact", given, "--root", root, "--json").status == status
    answer = mnist_tfx("lineage", "impact", pair[0], "--root", root)
    assert answer.code == 0
    assert "autoencoder, classifier, evaluation" in answer.out
    assert "served" in answer.out


# --- by what a file is ---


def seen(digits):
    return digits[0][0], int(digits[1][0])


def as_png(path, image):
    Image.fromarray(np.asarray(image, np.uint8)).save(path)
    return str(path)


@pytest.mark.e2e
def test_impact_answers_a_picture_of_a_trained_on_image_with_yes(first_run, digits, tmp_path):
    png = as_png(tmp_path / "digit.png", digits[0][0])
    answer = mnist_tfx("lineage", "impact", png, "--root", first_run[0], "--json")
    assert (answer.code, answer.json["answer"], len(answer.json["models"])) == (0, "yes", 1)
    assert answer.json["proofs"][0]["claim"] == "included"


@pytest.mark.e2e
def test_a_picture_of_another_size_is_refused_without_a_proof(first_run, tmp_path):
    png = as_png(tmp_path / "large.png", np.full((28, 28), 3))
    answer = mnist_tfx("lineage", "impact", png, "--root", first_run[0])
    assert (answer.code, answer.out) == (2, "")
    assert "large.png: this root's images are 8x8: got 28x28" in answer.err


@pytest.mark.e2e
@pytest.mark.parametrize("form", ["csv", "idx", "npz"])
def test_data_of_another_size_is_refused_in_every_form(ran, tmp_path, form):
    images, file = np.zeros((3, 28, 28), np.uint8), tmp_path / f"large.{form}"
    images[0, 0, 0] = 1
    if form == "csv":
        as_csv(file, images, [1, 2, 3], label_first=True)
    elif form == "idx":
        idx.write_images(file, images)
    else:
        np.savez(file, images=images)
    with pytest.raises(BadInput, match="this root's images are 8x8: got 28x28"):
        impact(ran, [str(file)])


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("how", "change"),
    [
        ("inverted (255 - x)", lambda image: 255 - image),
        ("inverted (16 - x)", lambda image: 16 - image),
        ("transposed", lambda image: image.T),
        ("mirrored", lambda image: image[:, ::-1]),
        ("scaled to 0 to 16", lambda image: image.astype(int) * 255 // 16),
        ("scaled to 0 to 16 and inverted", lambda image: 255 - image.astype(int) * 255 // 16),
    ],
)
def test_a_picture_of_which_another_form_is_in_the_data_is_no_plain_no(ran, digits, tmp_path, how, change):
    answer = impact(ran, [as_png(tmp_path / "x.png", change(digits[0][0]))])
    [found] = answer.lookalikes
    assert (answer.answer, answer.models, found.how) == ("cannot-tell", (), how)
    assert (found.occurrence.label, answer.proofs[0].claim) == (seen(digits)[1], "absent")
    assert f"not these pixels, but the same {how} are in the data" in answer.unknown[0]


@pytest.mark.e2e
def test_a_transposed_data_file_is_no_plain_no(ran, digits, tmp_path):
    idx.write_images(tmp_path / "emnist", np.ascontiguousarray(digits[0][:300].transpose(0, 2, 1)))
    answer = impact(ran, [str(tmp_path / "emnist")])
    assert answer.answer == "cannot-tell"
    assert "256 of its first 256 images" in answer.unknown[1]


@pytest.mark.e2e
def test_a_blank_picture_is_no_form_of_another(ran, tmp_path):
    answer = impact(ran, [as_png(tmp_path / "blank.png", np.full((8, 8), 16))])
    assert (answer.answer, answer.lookalikes) == ("no", ())


@pytest.mark.e2e
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda image: np.minimum(image.astype(int) * 17, 255), id="times 17, clipped"),
        pytest.param(lambda image: image.astype(int) * 15, id="times 15"),
        pytest.param(lambda image: image.astype(int) ** 2 * 255 // 256, id="with a gamma"),
    ],
)
def test_of_a_picture_on_a_scale_that_cannot_be_undone_it_cannot_be_told(ran, digits, tmp_path, change):
    answer = impact(ran, [as_png(tmp_path / "x.png", change(digits[0][0]))])
    assert (answer.answer, answer.lookalikes) == ("cannot-tell", ())
    assert "those of the data here to 16: it is on another scale" in answer.unknown[0]
    assert "on the scale of the data files" in answer.hint


@pytest.mark.e2e
def test_an_array_of_one_image_is_that_image(ran, digits, tmp_path):
    np.save(tmp_path / "one.npy", digits[0][0])
    answer = impact(ran, [str(tmp_path / "one.npy")])
    assert (answer.answer, len(answer.rows)) == ("yes", 1)


@pytest.mark.e2e
def test_what_could_not_be_read_is_not_answered_with_advice_on_the_serving_directory(ran, digits, tmp_path):
    np.savez(tmp_path / "scaled.npz", x=digits[0][:5] / 16)
    np.savetxt(tmp_path / "unlabelled.csv", digits[0][:9].reshape(9, 64), fmt="%d", delimiter=",")
    (tmp_path / "empty.png").touch()
    for name in ("scaled.npz", "unlabelled.csv", "empty.png"):
        answer = impact(ran, [str(tmp_path / name)])
        assert (answer.answer, "serving list" in answer.hint) == ("cannot-tell", False)


@pytest.mark.e2e
def test_of_a_lossy_or_coloured_picture_it_cannot_be_told(first_run, digits, tmp_path):
    grey = Image.fromarray(digits[0][1])
    grey.save(tmp_path / "photo.jpg")
    colours = np.dstack([digits[0][1], digits[0][2], digits[0][3]])
    Image.fromarray(colours).save(tmp_path / "colours.png")
    Image.fromarray(np.zeros((300, 200), np.uint8)).save(tmp_path / "large.jpg")
    for name in ("photo.jpg", "colours.png", "large.jpg"):
        answer = mnist_tfx("lineage", "impact", tmp_path / name, "--root", first_run[0], "--json")
        assert (answer.code, answer.json["answer"], answer.status) == (5, "cannot-tell", "unknown")
        assert "mnist-tfx predict" in answer.json["hint"]
        assert answer.json["proofs"] == []


@pytest.mark.e2e
@pytest.mark.parametrize("shape", [(-1, 8, 8), (-1, 8, 8, 1), (-1, 64)])
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32])
def test_the_rows_of_an_npz_are_found(ran, digits, tmp_path, shape, kind):
    images, labels = digits[0].reshape(shape).astype(kind), digits[1]
    parts = {"x_train": images[:100], "y_train": labels[:100], "x_test": images[100:120], "y_test": labels[100:120]}
    np.savez_compressed(tmp_path / "digits.npz", **parts)
    [model] = impact(ran, [str(tmp_path / "digits.npz")]).models
    assert (model.match, model.whole, model.shared.total) == ("rows", True, 120)


@pytest.mark.e2e
@pytest.mark.parametrize("arrays", ["scaled", "objects", "unnamed", "colour", "cut"])
def test_of_an_npz_that_cannot_be_read_with_certainty_it_cannot_be_told(ran, digits, tmp_path, arrays):
    images, labels = digits
    given = {
        "scaled": {"x_train": images / 16, "y_train": labels},
        "objects": {"x_train": np.array([object()]), "y_train": labels},
        "unnamed": {"one": images, "other": images},
        "colour": {"images": np.zeros((4, 8, 8, 3), np.uint8)},
        "cut": {"images": images},
    }[arrays]
    file = tmp_path / "some.npz"
    np.savez(file, **given)
    if arrays == "cut":
        data = bytearray(file.read_bytes())
        data[data.index(b"(1797, 8, 8)") + 1 : data.index(b"(1797, 8, 8)") + 5] = b"9999"
        file.write_bytes(data)
    answer = impact(ran, [str(file)])
    assert (answer.answer, answer.models) == ("cannot-tell", ())


@pytest.mark.e2e
def test_pictures_and_folders_of_them_are_one_collection(ran, digits, pair, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    names = [as_png(folder / f"{number}.png", digits[0][number]) for number in range(4)]
    names.append(as_png(folder / "other.png", np.full((8, 8), 7)))
    for given in (names, [str(folder)]):
        [model] = impact(ran, given).models
        assert (model.shared.total, model.whole) == (4, False)
    assert impact(ran, [str(pair[0].parent)]).models[0].whole


@pytest.mark.e2e
def test_what_in_a_folder_was_not_compared_is_said(ran, tmp_path):
    as_png(tmp_path / "other.png", np.full((8, 8), 7))
    (tmp_path / "more.zip").write_bytes(b"PK\x03\x04 and so on")
    answer = impact(ran, [str(tmp_path)])
    assert answer.answer == "cannot-tell"
    assert "more.zip in it" in answer.unknown[0]


@pytest.mark.e2e
def test_a_row_is_known_by_its_digests(ran, digits):
    picture = Picture(height=8, width=8, pixels=digits[0][0].tobytes())
    for digest in (picture.digest, picture.row_digest(seen(digits)[1])):
        [model] = impact(ran, [digest.hex()]).models
        assert (model.match, len(model.uses)) == ("digest", 1)
    assert impact(ran, [picture.row_digest(9).hex()]).answer == "cannot-tell"


@pytest.mark.e2e
def test_new_rows_of_the_same_size_went_into_no_model_and_it_is_said_what_that_rests_on(first_run, tmp_path):
    images = np.random.default_rng(0).integers(0, 17, (30, 8, 8)).astype(np.uint8)
    file = as_csv(tmp_path / "new.csv", images, np.arange(30) % 10, label_first=True)
    answer = mnist_tfx("lineage", "impact", file, "--root", first_run[0])
    assert (answer.code, answer.err) == (0, "")
    assert "no: went into no model on record" in answer.out
    assert "with all 1797 rows of data set" in answer.out


@pytest.mark.e2e
def test_a_damaged_csv_is_no_plain_no(ran, digits, tmp_path):
    file = as_csv(tmp_path / "bad.csv", digits[0][:9] // 2, digits[1][:9], label_first=True)
    file.write_text(file.read_text() + "1,2,oops\n")
    answer = impact(ran, [str(file)])
    assert answer.answer == "cannot-tell"
    assert "line 10" in answer.unknown[0]


@pytest.mark.e2e
@pytest.mark.parametrize(
    "arguments", [[], ["x.png", "--index", "0"], ["x.png", "--version", "1"], ["x.png", "--data", "y.csv"]]
)
def test_a_question_that_is_not_one_is_refused(first_run, arguments):
    assert mnist_tfx("lineage", "impact", *arguments, "--root", first_run[0]).code == 2


@pytest.mark.e2e
def test_a_row_is_named_by_its_number_in_the_train_part_or_in_a_file(first_run, pair):
    here = ("lineage", "impact", "--root", first_run[0], "--json", "--index", 3)
    own = mnist_tfx(*here)
    other = mnist_tfx(*here, "--data", pair[1], "--data", pair[0])
    assert (own.code, own.json["models"], own.json["image"]) == (0, other.json["models"], other.json["image"])


def test_lineage_rows_points_to_the_verb_that_answers_it():
    answer = mnist_tfx("lineage", "rows", "x.png")
    assert answer.code == 2
    assert "lineage impact" in answer.err
