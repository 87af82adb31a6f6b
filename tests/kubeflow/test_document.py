"""Compiled files as text: what a reader of either YAML takes for a text stays one, and documents come in any order."""

import json

import pytest
import yaml
from kubeflow.compiled_files import digits

from components.errors import BadInput
from pipeline.kubeflow.document import Document, Task, read
from pipeline.kubeflow.yaml_text import to_yaml


@pytest.mark.parametrize(
    "text",
    [
        *("1e5", "1E+5", "08", "09", "0o7", "0O17", "-0x1F", "0XFF", "0B1", "1_000", "-.5", "+.5e3", "1.5e3", "12e03"),
        *(
            "600e1234",
            "2026-1-2",
            "2026-01-02",
            "2026-1-2 3:04:05",
            "y",
            "N",
            "yes",
            "off",
            "True",
            "null",
            "~",
            ".inf",
        ),
        *("1", "1.5", "0777", "1:30", ""),
    ],
)
def test_what_some_reader_takes_for_something_else_is_quoted(text):
    written = to_yaml([{"key": text, text: "key"}])
    assert "key: '" in written
    assert yaml.safe_load(written) == {"key": text, text: "key"}


@pytest.mark.parametrize(
    "text", ["a", "1a", "sha256", "e5", "0.0.1", "1-2", "--direct_num_workers=4", "nvidia.com/gpu"]
)
def test_what_every_reader_takes_for_a_text_is_written_bare(text):
    assert to_yaml([{"key": text}]) == f"key: {text}\n"


def test_numbers_and_booleans_stay_what_they_are():
    values = {"a": 1, "b": 1.5, "c": 1e300, "d": True, "e": None, "f": [8]}
    written = to_yaml([values])
    assert yaml.safe_load(written) == values
    assert "'" not in written


def test_the_platform_document_may_come_first(tmp_path):
    document, path = digits(), tmp_path / "p.yaml"
    path.write_text(to_yaml([document.platform, document.spec]))
    found = read(path)
    assert (found.spec, found.platform) == (document.spec, document.platform)


@pytest.mark.parametrize(
    "parts", [("spec", "spec"), ("platform",), ("platform", "platform"), ("spec", "platform", "other")]
)
def test_one_pipeline_and_at_most_one_platform_document_make_a_file(tmp_path, parts):
    document, path = digits(), tmp_path / "p.yaml"
    values = {"spec": document.spec, "platform": document.platform, "other": {"a": 1}}
    path.write_text(to_yaml([values[part] for part in parts]))
    with pytest.raises(BadInput, match=r"not a compiled pipeline: .* YAML documents"):
        read(path)


@pytest.mark.parametrize(
    ("args", "serving"),
    [
        (["--serving", "/a"], "/a"),
        (["--serving=/a"], "/a"),
        (["--serving", "/a", "--serving=/b"], "/b"),
        (["--servings", "/a"], None),
        (["--serving"], None),
        ([], None),
        (None, None),
    ],
)
def test_a_task_says_in_its_arguments_where_it_serves(args, serving):
    container = {} if args is None else {"args": args}
    task = Task(name="a", spec={}, component={}, executor_label="a", executor={"container": container}, platform={})
    assert task.serving == serving


def test_a_job_is_read_as_json(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(digits("vertex").to_text())
    assert read(path).spec == json.loads(json.dumps(digits("vertex").spec))
    assert isinstance(read(path), Document)
