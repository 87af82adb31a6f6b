"""Where the root of an artifact is, below a pipeline root of ours and below one of anybody's."""

from pathlib import Path

import pytest

from components.layout import root_above, root_of


@pytest.mark.parametrize(
    ("pipeline_root", "root"),
    [("/runs/digits/artifacts", "/runs/digits"), ("/tmp/tfx-interactive", "/tmp/tfx-interactive")],
)
def test_a_pipeline_root_is_the_root_unless_it_is_called_as_ours_are(pipeline_root, root):
    assert root_above(pipeline_root) == Path(root)
    assert root_of(f"{pipeline_root}/ExampleGen/examples/1") == Path(root)


def test_relative_places_are_below_the_working_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert root_above("artifacts") == tmp_path
    assert root_of("explored/ExampleGen/examples/1") == tmp_path / "explored"
