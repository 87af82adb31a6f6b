"""What a request says of its data is held against the data before TensorFlow or TFX is imported."""

import numpy as np
import pytest

from components.errors import BadInput
from components.ingest import idx
from pipeline.config.request import Request, settings_and_paths


@pytest.fixture
def folder(tmp_path):
    idx.write_images(tmp_path / "train-images-idx3-ubyte", np.full((30, 8, 8), 16, np.uint8))
    idx.write_labels(tmp_path / "train-labels-idx1-ubyte", np.arange(30) % 10)
    return tmp_path


REQUESTS = {
    "label of IDX": ({"label": "digit"}, "--label is for CSV files"),
    "pixel_max below the pixels": ({"overrides": ("data.pixel_max=15",)}, "unusable pixel|no reviewed schema"),
    "label_count below the labels": ({"overrides": ("data.label_count=9",)}, "3 rows have an unusable label"),
    "shape of other images": ({"overrides": ("data.shape=[9,9]",)}, "9x9"),
    "a split above the rows": ({"overrides": ("data.split=rows:25,6",)}, "takes more rows than there are"),
    "a tail without a test part": ({"overrides": ("data.split=tail:5",)}, "needs a test part"),
    "form that is not there": ({"form": "csv"}, "no data files found"),
}


@pytest.mark.parametrize(("asked", "message"), REQUESTS.values(), ids=REQUESTS.keys())
def test_a_request_that_its_data_contradict_is_refused_by_their_first_bytes(folder, tmp_path, asked, message):
    with pytest.raises(BadInput, match=message):
        settings_and_paths(Request(data=(folder,), root=tmp_path / "root", **asked))
    assert not (tmp_path / "root").exists()


def test_a_label_without_any_data_is_refused(tmp_path):
    with pytest.raises(BadInput, match="--label is for CSV files"):
        settings_and_paths(Request(label="first", root=tmp_path / "root"))


def test_a_sound_request_passes(folder, tmp_path):
    settings, _, files = settings_and_paths(Request(data=(folder,), root=tmp_path / "root"))
    assert (settings.data.shape, files.form) == ((8, 8), "idx")
