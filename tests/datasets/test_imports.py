"""Import of pictures, arrays, ARFF and archives: every row under its class, with where it came from, or nothing at all."""

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from command_line import in_process
from data_forms import write_parquet, write_table
from PIL import Image
from sklearn.datasets import dump_svmlight_file, load_digits

from components.errors import BadInput
from components.ingest import idx, import_record
from components.ingest.part_names import assigned, part_of, role_of
from pipeline.cli.data import _tools
from pipeline.datasets.imports import importing, sources
from pipeline.datasets.imports.contents import Options

DIGITS = load_digits()
UCI = (DIGITS.images * 15.9375).astype(np.uint8)  # 0 to 255
LABELS = DIGITS.target
LUMA = np.array([0.299, 0.587, 0.114])
ROWS = 60
IMAGES, CLASSES = UCI[:ROWS], LABELS[:ROWS]


def take(source: Path, to: Path, **options):
    found = sources.recognise(source)
    assert found is not None
    return importing.import_source(found, to, Options(**options), _tools(), lambda *_: None)


def read(folder: Path, split="train"):
    """Returns images and labels of the files that an import wrote."""
    (chunk,) = idx.iter_chunks(*(folder / name for name in import_record.NAMES[split]), rows=10_000)
    height, width = idx.read_header(folder / import_record.NAMES[split][0], dimensions=idx.IMAGES).shape[1:]
    return chunk.pixels.reshape(-1, height, width), chunk.labels


def pictures(folder: Path, images=IMAGES, labels=CLASSES, name="{n}.png"):
    """Writes one picture a row into folders by class."""
    for n, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / name.format(n=n))
    return folder


def pairs(images, labels):
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


def npz(path: Path, **arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def test_png_folders(tmp_path):
    imported = take(pictures(tmp_path / "png-folders" / "training"), tmp_path / "to")
    assert imported.rows == {"train": ROWS}
    assert pairs(*read(tmp_path / "to")) == pairs(IMAGES, CLASSES)


def test_keras_npz(tmp_path):
    npz(tmp_path / "in" / "mnist.npz", x_train=IMAGES, y_train=CLASSES, x_test=UCI[60:80], y_test=LABELS[60:80])
    imported = take(tmp_path / "in", tmp_path / "to")
    assert imported.rows == {"train": ROWS, "test": 20}
    assert np.array_equal(read(tmp_path / "to")[0], IMAGES)
    assert np.array_equal(read(tmp_path / "to", "test")[1], LABELS[60:80])


def parquet(path: Path, images=IMAGES, labels=CLASSES, names=None):
    return write_parquet(path, images, labels, names=names)


def test_parquet_of_the_hub_with_its_parts(tmp_path):
    parquet(tmp_path / "mnist" / "train-00000-of-00002.parquet", IMAGES[:20], CLASSES[:20])
    parquet(tmp_path / "mnist" / "train-00001-of-00002.parquet", IMAGES[20:40], CLASSES[20:40])
    parquet(tmp_path / "mnist" / "test-00000-of-00001.parquet", IMAGES[40:], CLASSES[40:])
    take(tmp_path / "mnist", tmp_path / "to")
    assert pairs(*read(tmp_path / "to")) == pairs(IMAGES[:40], CLASSES[:40])
    assert pairs(*read(tmp_path / "to", "test")) == pairs(IMAGES[40:], CLASSES[40:])


def test_parquet_in_the_one_folder_of_a_folder_is_what_that_holds(tmp_path):
    shard = parquet(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    (tmp_path / "hub" / "README.md").write_text("a data set\n")
    (tmp_path / "hub" / ".cache").mkdir()
    assert sources.recognise(tmp_path / "hub").files == (shard,)
    assert sources.recognise(tmp_path / "hub").command == f"mnist-tfx data import {shard.parent} --to data-idx"
    (tmp_path / "hub" / "more").mkdir()
    assert sources.recognise(tmp_path / "hub") is None


def test_parquet_with_a_column_for_each_pixel_is_refused_with_the_way_to_csv(tmp_path):
    import pyarrow
    from pyarrow import parquet as writer

    columns = {"label": CLASSES.tolist()} | {f"pixel{k}": IMAGES.reshape(ROWS, -1)[:, k].tolist() for k in range(64)}
    writer.write_table(pyarrow.table(columns), tmp_path / "train.parquet")
    with pytest.raises(BadInput, match=r"read from CSV: pandas\.read_parquet"):
        take(tmp_path / "train.parquet", tmp_path / "to")


def test_parquet_keeps_the_names_that_the_hub_gives_classes(tmp_path):
    names = [f"shape {n}" for n in range(10)]
    done = take(parquet(tmp_path / "train.parquet", names=names), tmp_path / "to")
    assert done.record.fields["class_names"] == names


def test_parquet_with_labels_in_words_numbers_them_in_order(tmp_path):
    words = ["cat" if label % 2 else "ant" for label in CLASSES]
    done = take(parquet(tmp_path / "train.parquet", labels=words), tmp_path / "to")
    assert done.record.fields["class_names"] == ["ant", "cat"]
    assert pairs(*read(tmp_path / "to")) == pairs(IMAGES, CLASSES % 2)


def test_parquet_that_is_something_else_says_which_columns_it_wants(tmp_path):
    import pyarrow
    from pyarrow import parquet as writer

    writer.write_table(pyarrow.table({"x": [1, 2], "y": [0.5, 0.5]}), tmp_path / "t.parquet")
    with pytest.raises(BadInput, match=r"one column of encoded pictures .* got x \(int64\), y \(double\)"):
        take(tmp_path / "t.parquet", tmp_path / "to")
    parquet(tmp_path / "u.parquet")
    (tmp_path / "u.parquet").write_bytes((tmp_path / "u.parquet").read_bytes()[:-30])
    with pytest.raises(BadInput, match="cannot be read as a Parquet file"):
        take(tmp_path / "u.parquet", tmp_path / "to")
    parquet(tmp_path / "v.parquet", labels=[*CLASSES[:-1], -1])
    with pytest.raises(BadInput, match="row 59: a label is out of range"):
        take(tmp_path / "v.parquet", tmp_path / "to")
    assert not (tmp_path / "to").exists()


FLAT = IMAGES.reshape(ROWS, -1).tolist()


@pytest.mark.parametrize("kind", ["bare", "header", "row index", "tabs", "one-hot", "words"])
def test_pixels_and_labels_in_csv_files_of_their_own(tmp_path, kind):
    folder, pixels, labels = tmp_path / "xy", FLAT, [[label] for label in CLASSES]
    header, delimiter = ("", "\t") if kind == "tabs" else ("", ",")
    if kind == "one-hot":
        labels = np.eye(10, dtype=int)[CLASSES].tolist()
    if kind == "words":
        labels = [["odd" if label % 2 else "even"] for label in CLASSES]
    if kind == "row index":
        pixels = [[n, *row] for n, row in enumerate(pixels)]
    if kind == "header":
        header = "digit"
        write_table(folder / "X_train.csv", pixels[:40], ",".join(f"pixel{n}" for n in range(64)))
    else:
        write_table(folder / "X_train.csv", pixels[:40], delimiter=delimiter)
    write_table(folder / "y_train.csv", labels[:40], header)
    write_table(folder / "X_test.csv", FLAT[40:], delimiter=delimiter)
    write_table(folder / "y_test.csv", labels[40:], header)
    take(folder, tmp_path / "to")
    wanted = CLASSES % 2 if kind == "words" else CLASSES
    assert pairs(*read(tmp_path / "to")) == pairs(IMAGES[:40], wanted[:40])
    assert pairs(*read(tmp_path / "to", "test")) == pairs(IMAGES[40:], wanted[40:])


def test_pixels_without_their_labels_are_no_pair(tmp_path):
    write_table(tmp_path / "xy" / "X_train.csv", FLAT)
    assert sources.tables_of(tmp_path / "xy") is None
    write_table(tmp_path / "xy" / "y_train.csv", [[label] for label in CLASSES[:-1]])
    with pytest.raises(BadInput, match="59 labels for 60 images"):
        take(tmp_path / "xy", tmp_path / "to")


SVMLIGHT = {
    "libsvm's own, from 1 on": ({"zero_based": False}, ("mnist", "mnist.t")),
    "scikit-learn's, from 0 on": ({"zero_based": True, "comment": "by hand"}, ("train.svm", "test.svm")),
    "from 0 on, which column 0 says": ({"zero_based": True}, ("mnist.libsvm",)),
}


@pytest.mark.parametrize("kind", SVMLIGHT)
def test_svmlight_files_are_read_with_their_zeros(tmp_path, kind):
    options, names = SVMLIGHT[kind]
    images = IMAGES.copy()
    images[0, 0, 0] = 3 if "column" in kind else 0
    (tmp_path / "in").mkdir()
    for name in names:
        flat = images.reshape(ROWS, -1).astype(float)
        dump_svmlight_file(flat, CLASSES, str(tmp_path / "in" / name), **options)
    assert take(tmp_path / "in", tmp_path / "to").rows == dict.fromkeys(("train", "test")[: len(names)], ROWS)
    assert pairs(*read(tmp_path / "to")) == pairs(images, CLASSES)


def pixel_strings(path: Path, header="emotion,pixels,Usage"):
    names = [name.strip() for name in header.split(",")]
    lines = []
    for number, (image, label) in enumerate(zip(IMAGES, CLASSES, strict=True)):
        usage = ("Training", "PublicTest", "PrivateTest")[min(number // 25, 2)]
        fields = {"emotion": label, "pixels": " ".join(map(str, image.ravel())), "Usage": usage}
        lines.append(",".join(str(fields[name]) for name in names))
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.mark.parametrize("header", ["emotion,pixels,Usage", "emotion, Usage, pixels", "emotion,pixels"])
def test_pixels_in_one_column_as_fer2013_has_them(tmp_path, header):
    imported = take(pixel_strings(tmp_path / "fer2013.csv", header), tmp_path / "to")
    assert imported.rows == ({"train": 50, "test": 10} if "Usage" in header else {"train": 60})
    images, labels = read(tmp_path / "to")
    assert pairs(images, labels) == pairs(IMAGES[: len(images)], CLASSES[: len(images)])


def test_pixels_in_one_column_are_said_to_be_with_the_command_wherever_data_are_read(tmp_path):
    path = pixel_strings(tmp_path / "fer2013.csv")
    for asked in (["run", "--root", tmp_path / "r"], ["schema", "propose", "--pixel-max", "16"]):
        answer = in_process(*asked, "--data", path)
        assert (answer.code, "mnist-tfx data import" in answer.err) == (2, True)
    assert in_process("data", "inspect", tmp_path, "--json").json["form"] == "pixel strings"


@pytest.mark.parametrize("kind", ["a folder", "a zip"])
def test_a_table_of_its_own_form_is_imported_from_where_it_lies(tmp_path, kind):
    path = pixel_strings(tmp_path / "in.csv")
    if kind == "a zip":
        with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
            archive.write(path, "fer2013/fer2013.csv")
    else:
        (tmp_path / "in.zip").mkdir()
        shutil.move(path, tmp_path / "in.zip" / "fer2013.csv")
    assert take(tmp_path / "in.zip", tmp_path / "to").rows == {"train": 50, "test": 10}


@pytest.mark.parametrize("planes", [False, True], ids=["colours of a pixel together", "planes"])
@pytest.mark.parametrize("header", [False, True])
def test_a_csv_of_three_colours_becomes_their_luminance(tmp_path, planes, header):
    colour = np.stack([IMAGES, IMAGES // 2, IMAGES // 4], axis=1 if planes else -1)
    table = np.column_stack([CLASSES, colour.reshape(ROWS, -1)])
    names = ",".join(["label", *(f"pixel{n:04}" for n in range(192))]) if header else ""
    path = tmp_path / "colours.csv"
    np.savetxt(path, table, fmt="%d", delimiter=",", header=names, comments="")
    answer = in_process("run", "--data", path, "--recipe", "digits", "--root", tmp_path / "r")
    assert "8x8 in three colours? `mnist-tfx data import" in answer.err
    take(path, tmp_path / "to")
    wanted = np.rint(np.moveaxis(colour, 1, -1) @ LUMA if planes else colour @ LUMA).astype(np.uint8)
    assert pairs(*read(tmp_path / "to")) == pairs(wanted, CLASSES)


def test_colours_whose_order_cannot_be_told_are_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (ROWS, 192))
    np.savetxt(tmp_path / "x.csv", np.column_stack([CLASSES, noise]), fmt="%d", delimiter=",")
    with pytest.raises(BadInput, match="the order of its colours cannot be told"):
        take(tmp_path / "x.csv", tmp_path / "to")
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("name", ["classes", "class_names", "names"])
@pytest.mark.parametrize("parts", [False, True], ids=["X and y", "train and test"])
def test_a_list_of_classes_beside_arrays_is_their_names(tmp_path, name, parts):
    arrays = {"x_train": IMAGES, "y_train": CLASSES, "x_test": IMAGES, "y_test": CLASSES}
    arrays = arrays if parts else {"X": IMAGES, "y": CLASSES}
    words = np.array([f"digit {n}" for n in range(10)])
    imported = take(npz(tmp_path / "in" / "d.npz", **arrays, **{name: words}), tmp_path / "to")
    assert imported.record.fields["class_names"] == words.tolist()
    assert pairs(*read(tmp_path / "to")) == pairs(IMAGES, CLASSES)


def test_labels_that_are_called_classes_are_labels(tmp_path):
    take(npz(tmp_path / "in" / "d.npz", images=IMAGES, classes=CLASSES), tmp_path / "to")
    assert pairs(*read(tmp_path / "to")) == pairs(IMAGES, CLASSES)


def test_openml_arff(tmp_path):
    header = "% from OpenML\n@RELATION mnist_784\n" + "".join(f"@ATTRIBUTE pixel{n} real\n" for n in range(64))
    rows = "".join(",".join(map(str, [*i.ravel(), label])) + "\n" for i, label in zip(IMAGES, CLASSES, strict=True))
    (tmp_path / "mnist_784.arff").write_text(f"{header}@ATTRIBUTE class {{0,1,2,3,4,5,6,7,8,9}}\n\n@DATA\n{rows}")
    take(tmp_path / "mnist_784.arff", tmp_path / "to")
    assert np.array_equal(read(tmp_path / "to")[0], IMAGES)
    assert np.array_equal(read(tmp_path / "to")[1], CLASSES)


@pytest.mark.parametrize("kind", ["pictures", "npz", "idx", "one folder in it"])
def test_zip(tmp_path, kind):
    inside = tmp_path / "inside" / ("archive" if kind == "one folder in it" else "")
    inside.mkdir(parents=True)
    if kind == "npz":
        npz(inside / "mnist.npz", x_train=IMAGES, y_train=CLASSES)
    elif kind == "idx":
        idx.write_images(inside / "train-images-idx3-ubyte", IMAGES)
        idx.write_labels(inside / "train-labels-idx1-ubyte", CLASSES)
    else:
        pictures(inside / "train")
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path / "inside")
    imported = take(Path(archive), tmp_path / "to")
    assert pairs(*read(tmp_path / "to")) == pairs(IMAGES, CLASSES)
    assert imported.record.fields["files"][0]["name"] == "archive.zip"
    assert all(file["archive"] == 0 for file in imported.record.fields["files"][1:])


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (
            ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"),
            {"train": 40, "test": 20},
        ),
        (("X_train", "Y_train", "X_valid", "Y_valid"), {"train": 20, "test": 20}),
        (("trainX", "trainY", "testX", "testY"), {"train": 20, "test": 20}),
        (("images", "labels"), {"train": 20}),
        (("data", "target"), {"train": 20}),
    ],
    ids=["medmnist", "validation alone", "camel case", "one part", "scikit-learn"],
)
def test_arrays_are_told_apart_by_their_names(tmp_path, names, rows):
    arrays = {}
    for number, (images, labels) in enumerate(zip(names[::2], names[1::2], strict=True)):
        block = slice(20 * number, 20 * number + 20)
        arrays |= {images: UCI[block], labels: LABELS[block, None]}  # MedMNIST has a column of labels
    imported = take(npz(tmp_path / "some.npz", **arrays), tmp_path / "to")
    assert imported.rows == rows


def test_arrays_without_names_go_by_those_of_their_files(tmp_path):
    for name, array in {
        "train-imgs": IMAGES,
        "train-labels": CLASSES,
        "test-imgs": UCI[60:],
        "test-labels": LABELS[60:],
    }.items():
        npz(tmp_path / "in" / f"kmnist-{name}.npz", arr_0=array)
    assert take(tmp_path / "in", tmp_path / "to").rows == {"train": ROWS, "test": len(UCI) - 60}


@pytest.mark.parametrize(
    ("images", "labels", "names"),
    [
        ((IMAGES / 255).astype(np.float32), CLASSES, []),
        (IMAGES.reshape(ROWS, 64), CLASSES, []),
        (IMAGES[:, None], CLASSES, []),
        (np.repeat(IMAGES[..., None], 3, axis=3), CLASSES, []),
        (IMAGES.astype(np.int64), np.eye(10)[CLASSES], []),
        (IMAGES, np.array(list("KLMNOPQRST"))[CLASSES], list("KLMNOPQRST")),
    ],
    ids=["0 to 1", "flat", "channels first", "three equal channels", "one-hot", "labels in words"],
)
def test_forms_of_arrays_that_say_the_same(tmp_path, images, labels, names):
    imported = take(npz(tmp_path / "some.npz", x=images, y=labels), tmp_path / "to")
    assert np.array_equal(read(tmp_path / "to")[0], IMAGES)
    assert np.array_equal(read(tmp_path / "to")[1], CLASSES)
    assert imported.record.fields["class_names"] == names


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": IMAGES, "b": CLASSES}, "do not say which are images"),
        ({"x": IMAGES, "y": CLASSES[1:]}, "59 labels for 60 images"),
        ({"x": IMAGES / 100, "y": CLASSES}, "no whole numbers"),
        ({"x": IMAGES - 1.0, "y": CLASSES}, "no bytes"),
        ({"x": IMAGES, "y": np.zeros((ROWS, 14), np.uint8)}, "more than one label a row"),
        ({"x": IMAGES.reshape(ROWS, 64)[:, 1:], "y": CLASSES}, "no square images"),
        ({"x": IMAGES, "y": CLASSES - 1}, "out of range"),
        ({"x": IMAGES, "y": np.array([None] * ROWS)}, "Python objects"),
    ],
    ids=["names", "counts", "scaled by 100", "centred", "several labels", "not square", "negative", "a pickle"],
)
def test_arrays_that_need_not_mean_what_they_seem_to_are_refused_and_nothing_is_written(tmp_path, arrays, message):
    source = npz(tmp_path / "in" / "some.npz", **arrays)
    with pytest.raises(BadInput, match=message):
        take(source, tmp_path / "to")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_folders_that_are_numbers_go_by_number_and_others_by_name(tmp_path):
    for folder, classes in {"numbers": CLASSES + 2, "words": np.array(list("abcdefghij"))[CLASSES]}.items():
        imported = take(pictures(tmp_path / folder, labels=classes), tmp_path / f"{folder}-idx")
        names = imported.record.fields["class_names"]
        assert names == sorted(map(str, set(classes.tolist())), key=lambda name: (len(name), name))
        assert (tmp_path / f"{folder}-idx" / "class-names.txt").read_text().split() == names
        assert np.array_equal(np.sort(read(tmp_path / f"{folder}-idx")[1]), np.sort(CLASSES))


def test_no_names_are_written_where_they_say_what_the_labels_say(tmp_path):
    take(pictures(tmp_path / "in"), tmp_path / "to")
    assert not (tmp_path / "to" / "class-names.txt").exists()


@pytest.mark.parametrize(
    ("folders", "rows"),
    [
        (("training", "testing"), {"train": 60, "test": 20}),
        (("train", "val"), {"train": 60, "test": 20}),
        (("trainingSet", "testSet"), {"train": 60, "test": 20}),
        (("data/train", "data/test"), {"train": 60, "test": 20}),
        (("",), {"train": 60}),
    ],
)
def test_folders_make_the_parts(tmp_path, folders, rows):
    for folder, block in zip(folders, (slice(60), slice(60, 80)), strict=False):
        pictures(tmp_path / "in" / folder, UCI[block], LABELS[block])
    assert take(tmp_path / "in", tmp_path / "to").rows == rows


def test_what_macos_and_others_leave_is_no_picture(tmp_path):
    pictures(tmp_path / "in" / "train")
    for name in ("__MACOSX/train/0/._1.png", "train/0/.hidden.png", "train/0/Thumbs.db", "readme.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"\0")
    assert take(tmp_path / "in", tmp_path / "to").rows == {"train": ROWS}


def test_pictures_of_different_sizes_are_refused_with_the_options_that_help(tmp_path):
    pictures(tmp_path / "in", IMAGES[:30], CLASSES[:30])
    pictures(
        tmp_path / "in", [np.kron(i, np.ones((3, 3), np.uint8)) for i in IMAGES[30:]], CLASSES[30:], "large-{n}.png"
    )
    with pytest.raises(BadInput, match=r"different sizes.*--fit 28x28.*--resize 28x28"):
        take(tmp_path / "in", tmp_path / "to")
    assert "--fit 28x28" in sources.recognise(tmp_path / "in").command
    for options in ({"resize": (14, 14)}, {"fit": (28, 28), "skip_unreadable": True}):
        to = tmp_path / "-".join(options)
        imported = take(tmp_path / "in", to, **options)
        images, _ = read(to)
        assert images.shape[1:] == next(iter(options.values()))
        assert len(images) + len(imported.record.fields["skipped"]) == ROWS


@pytest.mark.parametrize(("invert", "expected"), [(None, IMAGES), (True, IMAGES), (False, 255 - IMAGES)])
def test_dark_ink_on_light_paper_is_recognised_unless_somebody_says_otherwise(tmp_path, invert, expected):
    pictures(tmp_path / "in", 255 - IMAGES)
    take(tmp_path / "in", tmp_path / "to", invert=invert)
    assert pairs(*read(tmp_path / "to")) == pairs(expected, CLASSES)


def test_pictures_some_dark_some_light_are_for_the_user_to_say(tmp_path):
    mixed = np.where((np.arange(ROWS) % 3 < 2)[:, None, None], 255 - IMAGES, IMAGES)
    pictures(tmp_path / "in", mixed)
    with pytest.raises(BadInput, match="--invert or --no-invert"):
        take(tmp_path / "in", tmp_path / "to")


def test_damaged_pictures_are_named_or_left_out_and_recorded(tmp_path):
    pictures(tmp_path / "in")
    (tmp_path / "in" / "0" / "0.png").write_bytes(b"\x89PNG and no more")
    with pytest.raises(BadInput, match="--skip-unreadable"):
        take(tmp_path / "in", tmp_path / "to")
    assert not (tmp_path / "to").exists()
    imported = take(tmp_path / "in", tmp_path / "to", skip_unreadable=True)
    assert imported.rows == {"train": ROWS - 1}
    assert imported.record.fields["skipped"][0].startswith("0/0.png: ")
    assert "left out" in imported.notes[-1]


def test_pictures_beside_one_another_have_no_classes(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(IMAGES[0]).save(tmp_path / "in" / "7.png")
    with pytest.raises(BadInput, match="no folders by class"):
        take(tmp_path / "in", tmp_path / "to")


@pytest.mark.fault(36)
@pytest.mark.parametrize("name", ["../outside.png", "/outside.png", "a/../../outside.png"])
def test_a_member_of_an_archive_does_not_leave_its_folder(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(BadInput, match="outside"):
        take(tmp_path / "evil.zip", tmp_path / "to")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a", "a/b.png"), ("a/b.png", "a/b.png"), ("a/b.png", "a"), (".", "b.png")], ids=str)
def test_members_that_cannot_lie_side_by_side_are_the_archives_fault(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    with pytest.raises(BadInput, match="cannot lie side by side"):
        take(tmp_path / "evil.zip", tmp_path / "to")


@pytest.mark.parametrize("kind", ["cut short", "encrypted flag", "zip in zip", "nothing of use"])
def test_an_archive_that_cannot_be_taken_is_refused_in_one_line(tmp_path, kind):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    if kind == "zip in zip":
        outer = io.BytesIO()
        with zipfile.ZipFile(outer, "w") as archive:
            archive.writestr("inner.zip", inner.getvalue())
        inner = outer
    data = bytearray(inner.getvalue())
    if kind == "encrypted flag":
        data[6] |= 1
        data[data.find(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data[: len(data) // 2] if kind == "cut short" else data)
    with pytest.raises(BadInput) as raised:
        take(tmp_path / "a.zip", tmp_path / "to")
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_the_record_names_every_row_s_picture_by_its_bytes(tmp_path):
    source = pictures(tmp_path / "in")
    imported = take(source, tmp_path / "to")
    images, labels = read(tmp_path / "to")
    for n in (0, 17, ROWS - 1):
        path = source / str(CLASSES[n]) / f"{n}.png"
        (origin,) = imported.record.rows_of(import_record.sha256_bytes(path.read_bytes()))
        assert origin.file["name"] == f"{CLASSES[n]}/{n}.png"
        assert np.array_equal(images[origin.row], IMAGES[n])
        assert labels[origin.row] == CLASSES[n]


def test_the_same_import_again_is_there_already_and_another_one_is_refused(tmp_path):
    first = take(pictures(tmp_path / "in"), tmp_path / "to")
    again = take(tmp_path / "in", tmp_path / "to")
    assert (first.again, again.again) == (False, True)
    assert first.record.digest == again.record.digest
    with pytest.raises(BadInput, match="holds another import"):
        take(tmp_path / "in", tmp_path / "to", resize=(14, 14))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(BadInput, match="holds something else"):
        take(tmp_path / "in", tmp_path / "other")


def test_what_a_killed_import_left_is_removed_by_the_next(tmp_path):
    (tmp_path / ".to.import-dead").mkdir()
    (tmp_path / ".to.import-dead" / "train-images-idx3-ubyte.gz").write_bytes(b"half")
    take(pictures(tmp_path / "in"), tmp_path / "to")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "to"]


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.update(schema_version=2),
        lambda fields: fields["rows"]["train"][0].update(file=99),
        lambda fields: fields["rows"]["train"][0].update(rows=2),
        lambda fields: fields["written"].pop(),
        lambda fields: fields.pop("files"),
    ],
    ids=["version", "a file that is not there", "counts", "a file less", "a key less"],
)
def test_a_record_that_contradicts_itself_or_its_files_is_not_believed(tmp_path, change):
    imported = take(pictures(tmp_path / "in"), tmp_path / "to")
    assert import_record.beside(tmp_path / "to" / "import.json", imported.record.payloads)[0] == imported.record
    fields = json.loads((tmp_path / "to" / "import.json").read_text())
    change(fields)
    (tmp_path / "to" / "import.json").write_bytes(import_record.canonical_json(fields))
    found, why = import_record.beside(tmp_path / "to" / "import.json", imported.record.payloads)
    assert found is None
    assert "import.json" in why


def test_the_commands_that_are_printed_lead_on(tmp_path):
    source = pictures(tmp_path / "in", labels=np.array(list("abcdefghij"))[CLASSES])
    answer = in_process("data", "import", source, "--to", tmp_path / "to", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["rows"] == {"train": ROWS}
    assert answer.json["commands"][0] == f"mnist-tfx recipe new --from {tmp_path}/to -o to.yaml"
    inspected = in_process("data", "inspect", source, "--json").json
    assert (inspected["form"], inspected["importable"]) == ("pictures", True)
    assert inspected["commands"][0] == f"mnist-tfx data import {source} --to in-idx"
    assert in_process("data", "inspect", tmp_path / "to", "--json").json["class_names"] == list("abcdefghij")


def test_what_cannot_be_imported_is_said(tmp_path):
    (tmp_path / "readme.txt").write_text("no data")
    answer = in_process("data", "import", tmp_path, "--to", tmp_path / "to")
    assert (answer.code, "nothing that can be imported" in answer.err) == (2, True)
    answer = in_process("data", "import", tmp_path, "--to", tmp_path / "to", "--fit", "28", "--resize", "5000x5000")
    assert answer.code == 2
    assert answer.err.count("no size of images") == 2


@pytest.mark.parametrize(
    ("name", "part", "role"),
    [
        ("x_train", "train", "images"),
        ("yTest", "test", "labels"),
        ("val_images", "validation", "images"),
        ("t10k-labels", "test", "labels"),
        ("k49-train-imgs", "train", "images"),
        ("arr_0", None, None),
        ("train_test", None, None),
        ("contrast", None, None),
    ],
)
def test_words_in_a_name_say_part_and_role(name, part, role):
    assert (part_of(name), role_of(name)) == (part, role)


def test_validation_rows_are_never_lost():
    assert assigned(["train", "validation", "test"])[0]["validation"] == "train"
    assert assigned(["train", "validation"])[0]["validation"] == "test"


@pytest.mark.parametrize("kind", ["pictures", "npz", "arff", "zip"])
@pytest.mark.parametrize("command", [["run", "--dry-run"], ["schema", "propose", "--pixel-max", "255"]])
def test_whoever_reads_data_files_says_what_else_there_is_and_how_to_import_it(tmp_path, kind, command):
    source = tmp_path / "in"
    pictures(source)
    if kind == "npz":
        npz(tmp_path / "a" / "some.npz", x=IMAGES, y=CLASSES)
        source = tmp_path / "a"
    elif kind == "arff":
        source = tmp_path / "some.arff"
        source.write_text("@relation x\n@attribute a real\n@data\n1\n")
    elif kind == "zip":
        source = Path(shutil.make_archive(str(tmp_path / "some"), "zip", source))
    answer = in_process(*command, "--data", source)
    assert answer.code == 2
    assert "no data files yet" in answer.err
    assert f"mnist-tfx data import {source} --to " in answer.err
