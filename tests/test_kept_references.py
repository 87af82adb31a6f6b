"""What is kept of sources gives the digests that parsing gives, for equal bytes alone, and only one's own is used."""

import json

import pytest

from components.errors import EnvironmentProblem
from pipeline.provenance import code, kept_references
from pipeline.provenance.kept_references import KeptReferences


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_TFX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "code"


@pytest.fixture
def base(tmp_path):
    (tmp_path / "base" / "a").mkdir(parents=True)
    (tmp_path / "base" / "a" / "__init__.py").write_text("")
    (tmp_path / "base" / "a" / "one.py").write_text("from a import two\n")
    (tmp_path / "base" / "a" / "two.py").write_text("ONE = 'a.three'\n")
    (tmp_path / "base" / "a" / "three.py").write_text("")
    return tmp_path / "base"


@pytest.fixture
def parsed(monkeypatch):
    """The sources that are parsed; `files` starts as a new process does."""
    result = []

    def find(source, package):
        result.append(source)
        return code.references(source, package)

    def files(base):
        result.clear()
        monkeypatch.setattr(code, "_KEPT", KeptReferences(find, code.Path(code.__file__)))
        return code.code_files("a.one", code.Sources(("a",), base=base)), len(result)

    return files


def test_a_second_process_parses_nothing(folder, base, parsed):
    first, times = parsed(base)
    assert [*first] == ["a/__init__.py", "a/one.py", "a/three.py", "a/two.py"]
    assert times == 3  # two of them are empty
    assert parsed(base) == (first, 0)
    [file] = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_changed_source_is_parsed_again(base, parsed):
    parsed(base)
    (base / "a" / "two.py").write_text("ONE = 'nothing'\n")
    changed, times = parsed(base)
    assert ([*changed], times) == (["a/__init__.py", "a/one.py", "a/two.py"], 1)


def test_the_package_of_a_source_counts(base, parsed):
    (base / "a" / "b").mkdir()
    (base / "a" / "b" / "__init__.py").write_text("from . import three\n")
    (base / "a" / "b" / "three.py").write_text("")
    (base / "a" / "one.py").write_text("from . import three\nimport a.b\n")
    (base / "a" / "two.py").write_text("from . import three\n")
    files, _ = parsed(base)
    assert "a/b/three.py" in files
    assert parsed(base) == (files, 0)


def test_what_does_not_parse_is_refused_each_time(base, parsed):
    (base / "a" / "two.py").write_text("def\n")
    for _ in range(2):
        with pytest.raises(EnvironmentProblem, match="does not parse"):
            parsed(base)


@pytest.mark.parametrize("spoilt", [b"", b"[", b"[]", b'{"x": 1}', b'{"x": [[], [1]]}', b'{"x": [[]]}', b"\xff"])
def test_a_file_that_is_not_whole_is_written_anew(folder, base, parsed, spoilt):
    wanted, _ = parsed(base)
    [file] = folder.iterdir()
    file.write_bytes(spoilt)
    assert parsed(base) == (wanted, 3)
    assert parsed(base) == (wanted, 0)


@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_others_can_write_to_is_not_used(folder, base, parsed, which):
    wanted, _ = parsed(base)
    [file] = folder.iterdir()
    file.write_text(json.dumps({key: [[], []] for key in json.loads(file.read_text())}))
    (file if which == "file" else folder).chmod(0o777)
    assert parsed(base) == (wanted, 3)


def test_a_cache_that_cannot_be_made_is_no_failure(base, parsed, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MNIST_TFX_CACHE", str(tmp_path / "file" / "cache"))
    assert parsed(base)[1] == parsed(base)[1] == 3


def test_former_sources_are_forgotten_when_there_are_many(folder, base, parsed, monkeypatch):
    monkeypatch.setattr(kept_references, "MOST", 5)
    for number in range(4):
        (base / "a" / "two.py").write_text(f"ONE = 'a.three'  # {number}\n")
        parsed(base)
    [file] = folder.iterdir()
    assert len(json.loads(file.read_text())) <= 5
    assert parsed(base)[1] == 0
