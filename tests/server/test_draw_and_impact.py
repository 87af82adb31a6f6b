"""The pages `/draw` and `/impact` over a model that is loaded in this process, without a browser or a server."""

import dataclasses
import gc
import gzip
import io
import json
import re
import shutil
import struct
import time
import weakref
import zlib

import numpy as np
import pytest
from PIL import Image
from predict import drawn
from server import loaded

from pipeline.lineage.rows import proofs
from pipeline.lineage.rows.images import Picture
from pipeline.lineage.rows.proofs import RowProof
from pipeline.predict import training_data
from pipeline.predict.answer import choose
from pipeline.predict.prediction import Request, predict
from pipeline.predict.server.pages import impacts, uploads
from pipeline.predict.server.pages.reading import Readers
from pipeline.report import example_rows
from pipeline.root.paths import RunPaths


@pytest.fixture(scope="module")
def versions(first_run, tmp_path_factory):
    return loaded.versions(first_run[0], tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def client(first_run, versions):
    return loaded.pages(first_run[0], versions)


@pytest.fixture(scope="module")
def training_row(first_run):
    folder, _ = training_data.examples(first_run[0], choose(first_run[0], 1))
    return example_rows.read(folder, "train", 64, 1).images[0].reshape(8, 8)


def png(grey):
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    return file.getvalue()


FIVE = png(drawn.bytes_of(drawn.on_paper(drawn.centred("5"))))


def send(client, page, *files):
    return client.post(page, files=[("file", one) for one in files])


def drawn_answer(client, content=FIVE, name="five.png"):
    """Return the answer about a picture, once the training rows are there."""
    ends = time.monotonic() + 60
    while (answer := send(client, "/draw/answer.json", (name, content)).json()).get("origin_in_the_making"):
        assert time.monotonic() < ends
        time.sleep(0.05)
    return answer


def test_the_answer_is_that_of_predict(client, first_run, tmp_path):
    path = tmp_path / "five.png"
    path.write_bytes(FIVE)
    wanted = predict(Request(named=(path,), root=first_run[0]), lambda _: None, lambda *_: None).files[0].to_dict()
    answer = drawn_answer(client)
    got = answer["prediction"]
    assert got["class"] == 5
    assert got.pop("probability") == pytest.approx(wanted.pop("probability"), abs=1e-5)
    assert got.pop("second_probability") == pytest.approx(wanted.pop("second_probability"), abs=1e-5)
    assert got == {**wanted, "path": "five.png"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def test_it_names_training_rows_with_their_place_label_and_a_proof_that_holds(client):
    answer = drawn_answer(client)
    origin = answer["origin"]
    assert [one["label"] for one in origin["nearest"]] == [5] * 5
    assert all(0 <= one["place"]["row"] < 1797 for one in origin["nearest"])
    for one in origin["nearest"]:
        proof = RowProof.from_dict(one["proof"])
        assert not list(proofs.faults(proof, bytes.fromhex(origin["merkle_root"])))
    assert {one["name"] for one in origin["data"]} == {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"}


def test_the_page_shows_what_the_model_saw_the_bars_and_the_chain(client):
    drawn_answer(client)
    page = send(client, "/draw", ("five.png", FIVE)).text
    assert re.search(r"data-read>5<", page)
    assert page.count("data:image/png;base64,") == 7
    assert page.count("proof of membership verified") == 5
    assert 'href="/versions/1"' in page
    (file, _) = drawn_answer(client)["origin"]["data"]
    assert f'href="/affected/{file["payload_digest"]}"' in page
    assert client.get(f"/affected/{file['payload_digest']}").status_code == 200
    assert len(re.findall(r'<th scope="row">\d</th>', page)) == 10


def test_a_form_without_a_script_gets_a_page_and_an_empty_sheet_no_answer(client):
    assert client.get("/draw").status_code == 200
    blank = send(client, "/draw", ("blank.png", png(np.full((64, 64), 255, np.uint8))))
    assert (blank.status_code, "nothing is drawn that could be read" in blank.text) == (200, True)
    several = drawn.on_paper(drawn.placed(np.hstack([drawn.centred("3"), drawn.centred("7")]), (200, 400), 20, 20))
    assert "wanted one digit, got 2" in send(client, "/draw", ("many.png", png(drawn.bytes_of(several)))).text


def gone(root):
    shutil.rmtree(RunPaths(root).artifacts / "ExampleGen")


def test_where_the_training_rows_are_gone_it_answers_and_cannot_tell_from_where(root, versions):
    gone(root)
    client = loaded.pages(root, versions)
    answer = drawn_answer(client)
    assert answer["prediction"]["class"] == 5
    assert answer["origin"] is None
    assert "the rows behind it cannot be read" in answer["origin_unknown"]
    assert "Cannot tell:" in send(client, "/draw", ("five.png", FIVE)).text
    assert client.get("/draw/rows.json").json()["state"] == "unknown"


def test_a_version_whose_folder_was_changed_since_it_was_loaded_is_not_spoken_for(root, versions):
    (root / "serving" / "1" / "saved_model.pb").chmod(0o644)
    (root / "serving" / "1" / "saved_model.pb").write_bytes(b"another")
    answer = send(loaded.pages(root, versions), "/draw/answer.json", ("five.png", FIVE))
    assert (answer.status_code, "not those that were pushed" in answer.json()["error"]) == (409, True)


def test_what_was_made_for_a_version_goes_when_it_is_dropped(first_run, versions):
    readers, model = Readers(first_run[0]), dataclasses.replace(versions.find(None))
    rows = readers.rows(model)
    rows.get()
    rows.wait(60)
    assert readers.rows(model) is rows
    assert len(rows.get()) == 1215
    kept = [weakref.ref(one) for one in (readers.reader(model), rows, rows.get())]
    del model, rows
    gc.collect()
    assert [one() for one in kept] == [None] * 3


def test_where_a_data_file_was_changed_it_cannot_tell_the_rows_numbers(root, versions):
    (copy,) = root.glob("inputs/*/train-images")
    copy.chmod(0o644)
    copy.write_bytes(copy.read_bytes()[:-1] + b"\7")
    client = loaded.pages(root, versions)
    origin = drawn_answer(client)["origin"]
    assert "the copy of the data was changed" in origin["unplaced"]
    assert {one["place"] for one in origin["nearest"]} == {None}
    page = send(client, "/draw", ("five.png", FIVE)).text
    assert page.count("row number: cannot tell") == page.count("proof of membership verified") == 5


def test_impact_of_a_data_file_names_version_and_role(client, digits_folder):
    images = next(path for path in digits_folder.iterdir() if "images" in path.name)
    renamed = gzip.compress(images.read_bytes())
    answer = send(client, "/impact/answer.json", ("holiday.bin.gz", renamed)).json()
    assert answer["answer"] == "yes"
    assert [(one["version"], one["shared_rows"]) for one in answer["models"]] == [(1, 1797)]
    page = send(client, "/impact", ("holiday.bin.gz", renamed)).text
    assert "autoencoder, classifier, evaluation" in page
    assert 'href="/versions/1"' in page


def test_impact_of_a_training_picture_says_so_with_a_proof_that_holds(client, training_row):
    answer = send(client, "/impact/answer.json", ("row.png", png(training_row))).json()
    assert answer["answer"] == "yes"
    assert answer["models"][0]["uses"] == ["train"]
    assert answer["proofs_checked"] == [{"root": answer["proofs"][0]["root"], "holds": True, "served_by": [1]}]
    proof = RowProof.from_dict(answer["proofs"][0])
    assert not list(proofs.faults(proof, proof.root, Picture.of(training_row)))


def test_impact_of_another_picture_is_no_with_a_proof_of_absence(client, training_row):
    other = training_row ^ np.uint8(1)
    page = send(client, "/impact", ("other.png", png(other))).text
    assert 'data-answer="no"' in page
    assert "not among the" in page
    assert "Proof verified:" in page


def test_a_proof_that_was_tampered_with_is_shown_not_to_hold(client, training_row, monkeypatch):
    monkeypatch.setattr(impacts.proofs, "faults", lambda *_: iter(["the row with label 7 is not shown to be included"]))
    page = send(client, "/impact", ("row.png", png(training_row))).text
    assert "This proof does not hold" in page
    assert "Proof verified" not in page


def test_impact_cannot_tell_of_a_photograph_and_says_what_to_do(client):
    colour = np.zeros((8, 8, 3), np.uint8)
    colour[..., 0] = 200
    page = send(client, "/impact", ("colour.png", png(colour))).text
    assert 'data-answer="cannot-tell"' in page
    assert "it is in colour" in page


def bomb(side):
    """A PNG of few bytes that says that it has very many pixels; whoever believes it reads on beyond its end."""
    lines = zlib.compress(bytes(1 << 20), 9)
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


HOSTILE = {
    "empty": ("empty.png", b""),
    "text": ("text.png", b"hello"),
    "cut": ("cut.png", FIVE[: len(FIVE) // 2]),
    "bomb": ("bomb.png", bomb(8_000)),
    "larger bomb": ("bomb.png", bomb(80_000)),
    "largest bomb": ("bomb.png", bomb(2_000_000_000)),
    "thin": ("thin.png", png(np.zeros((1, 900), np.uint8))),
    "path": ("../../etc/<b>passwd\n.png", b"\x89PNG\r\n\x1a\n"),
    "long": ("x" * 5_000 + ".png", b"GIF89a"),
    "zip": ("a.npz", b"PK\x03\x04" + bytes(64)),
    "header": ("a.idx", struct.pack(">IIII", 0x803, 0xFFFFFFFF, 28, 28)),
    "csv": ("a.csv", b"label,1,2\n" + b"9" * 9_999),
    "pickle": ("a.npy", b"\x93NUMPY\x01\x00" + bytes(99)),
    "parquet": ("a.parquet", b"PAR1" + bytes(64) + b"PAR1"),
    "packed": ("a.gz", b"\x1f\x8b\x08" + bytes(9)),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("page", ["/draw", "/impact"])
def test_what_cannot_be_read_gets_one_line(client, case, page):
    answer = send(client, f"{page}/answer.json", HOSTILE[case])
    assert answer.status_code < 500
    if answer.status_code == 200:
        assert (page, answer.json()["answer"]) == ("/impact", "cannot-tell")
        line = " ".join(answer.json()["unknown"])
    else:
        line = answer.json()["error"]
        assert answer.status_code >= 400
    assert "\n" not in line
    assert "/tmp" not in line
    assert "upload-" not in line
    shown = send(client, page, HOSTILE[case])
    assert (shown.status_code, "<b>" in shown.text) == (answer.status_code, False)


@pytest.mark.parametrize("page", ["/draw", "/impact"])
def test_what_is_no_form_is_refused(client, page):
    for content, kind, status in (
        (b"abc", "image/png", 415),
        (b"abc", "multipart/form-data", 400),
        (b"abc", "multipart/form-data; boundary=x", 400),
        (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x", 400),
    ):
        answer = client.post(f"{page}/answer.json", content=content, headers={"content-type": kind})
        assert (answer.status_code, "error" in answer.json()) == (status, True)
    assert send(client, f"{page}/answer.json", *[("a.png", FIVE)] * 9).status_code == 400


def test_a_file_that_is_gigabytes_unpacked_is_not_read_to_its_end(client, monkeypatch):
    monkeypatch.setattr(impacts, "MOST_BYTES", 1 << 20)
    packed = gzip.compress(struct.pack(">IIII", 0x803, 1 << 20, 8, 8) + bytes(64 << 20))
    answer = send(client, "/impact/answer.json", ("zeros.gz", packed))
    assert (answer.status_code, "is too large, unpacked" in answer.json()["error"]) == (400, True)


def test_nothing_that_was_sent_is_kept(client, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads.tempfile, "tempdir", str(tmp_path))
    send(client, "/draw", ("five.png", FIVE))
    send(client, "/impact", ("five.png", FIVE), ("b.csv", b"1,2,3\n"))
    assert not list(tmp_path.iterdir())


def test_a_proof_on_a_page_is_the_file_that_check_proof_takes(client, training_row):
    page = send(client, "/impact", ("row.png", png(training_row))).text
    (shown,) = re.findall(r"<pre tabindex=\"0\">(.*?)</pre>", page, re.DOTALL)
    assert RowProof.from_dict(json.loads(shown)).claim == proofs.INCLUDED
