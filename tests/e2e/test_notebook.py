"""The notebook of the documentation, executed in a kernel as a reader's would be."""

import nbformat
import pytest
from command_line import PROJECT
from nbclient import NotebookClient

NOTEBOOK = PROJECT / "docs" / "tutorial.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def _code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_notebook_is_committed_without_outputs(notebook):
    nbformat.validate(notebook)
    assert [cell.id for cell in _code(notebook) if cell.outputs or cell.execution_count is not None] == []


@pytest.mark.e2e
def test_the_notebook_goes_from_data_to_the_models_that_used_an_image(notebook, tmp_path, monkeypatch):
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    place = tmp_path / "reader"
    place.mkdir()
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(place)}}).execute()
    results = [
        output.data["text/plain"]
        for cell in _code(notebook)
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    run, versions, picture, used, unused = results
    assert run.startswith("(1,")
    assert "number=1" in versions
    assert picture.startswith("Prediction(label=0")
    assert used == "('yes', [(1, ('train',))])"
    assert unused == "'no'"
    printed = "".join(
        output.text for cell in _code(notebook) for output in cell.outputs if output.get("name") == "stdout"
    )
    for line in ("INTEGRITY     PASS", "COMPLETENESS  PASS", "execution  Classifier"):
        assert line in printed
    assert {one.name for one in place.iterdir()} == {"runs", "zero.png"}
