"""Files that were changed in whatever way: each reader answers, or raises one of our errors, and soon.

$MNIST_TFX_MUTATIONS is how many of each kind are tried.
"""

import os
from pathlib import Path

import pytest
from fuzz.outcome import SOON, load_and_dump, timed
from fuzz.targets import KINDS, of_node
from lineage.audited_copy import audited_copy
from mutations import COUNT, mutated

from components.errors import MnistTfxError
from components.serving import PROVENANCE
from pipeline.audit.audit import audit_all
from pipeline.lineage.index import open_lineage


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return audited_copy(tmp_path_factory.mktemp("mutated") / "root")


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_is_read_or_refused_in_our_own_words(kind, built, tmp_path):
    make, read = KINDS[kind]
    data = make(built)
    load, dump = load_and_dump(kind)
    # A compiled file is a hundred times as long as the others; one in YAML takes 0.1 s to read.
    count = COUNT // 6 if kind == "compiled yaml" else COUNT
    outcomes = [timed(read, mutated(data, number, load=load, dump=dump), tmp_path) for number in range(count)]
    slow = [number for number, (_, seconds) in enumerate(outcomes) if seconds > SOON]
    assert all(min(timed(read, mutated(data, n, load=load, dump=dump), tmp_path)[1] for _ in "ab") < SOON for n in slow)
    assert any(isinstance(found, MnistTfxError) for found, _ in outcomes)


TARGETS = {
    "provenance": lambda paths: paths.serving / "2" / PROVENANCE,
    "ledger": lambda paths: paths.ledger,
    "record": lambda paths: of_node(paths, "Classifier"),
    "root.json": lambda paths: paths.identity,
    "sources.json": lambda paths: next(paths.inputs.glob("*/sources.json")),
    "verdict.json": lambda paths: next(paths.artifacts.glob("Evaluator/evaluation/*/verdict.json")),
    "gate.json": lambda paths: next(paths.artifacts.glob("SchemaGate/report/*/gate.json")),
    "row index": lambda paths: next(paths.artifacts.glob("ExampleGen/examples/*/row_index/train.npy")),
}


@pytest.mark.parametrize("target", TARGETS)
def test_an_audit_of_a_root_with_a_changed_file_answers(target, tmp_path):
    paths = audited_copy(tmp_path / "root")
    path = TARGETS[target](paths)
    data = path.read_bytes()
    for number in range(COUNT // 16):
        path.write_bytes(mutated(data, number))
        for ask in (audit_all, open_lineage):
            found, _ = timed(ask, paths.root)
            assert isinstance(found, MnistTfxError) or ask is open_lineage or all(map(str, found[-1].findings))


@pytest.mark.parametrize("target", TARGETS)
def test_an_audit_waits_for_no_fifo_and_reads_no_device(target, tmp_path):
    paths = audited_copy(tmp_path / "root")
    path = TARGETS[target](paths)
    for make in (os.mkfifo, lambda place: place.symlink_to("/dev/zero")):
        path.unlink()
        make(path)
        assert audit_all(paths.root)
        found, seconds = timed(open_lineage, paths.root)
        assert seconds < 10 * SOON or isinstance(found, MnistTfxError)


@pytest.mark.parametrize("kind", [kind for kind, (_, read) in KINDS.items() if "from_bytes" in read.__qualname__])
def test_a_file_that_is_none_is_refused_at_once(kind, tmp_path):
    _, read = KINDS[kind]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "write_bytes", lambda path, _: os.mkfifo(path))
        found, seconds = timed(read, b"", tmp_path)
    assert isinstance(found, MnistTfxError) or (kind == "root.json" and found[:2] == (None, None))
    assert seconds < SOON
