"""Files that were changed in whatever way: each reader answers, or raises one of our errors, and soon.

$MNIST_TFX_MUTATIONS is how many of each kind are tried.
"""

import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from command_line import PROJECT
from lineage.audited_copy import audited_copy
from mutations import COUNT, as_yaml, mutated, timed
from statements import records_of

from components import arrays, schema_files, untrusted
from components.errors import MnistTfxError
from components.evaluation.thresholds import Verdict
from components.ingest import source
from components.serving import PROVENANCE, ServedVersion
from components.training.cluster import TF_CONFIG, Cluster
from pipeline.audit import policy
from pipeline.audit.audit import audit_all
from pipeline.config.recipe import load_recipe
from pipeline.config.recipe_file import RECIPES
from pipeline.kubeflow import document
from pipeline.kubeflow.compiler import cluster
from pipeline.kubeflow.lint.check import lint
from pipeline.lineage.index import open_lineage
from pipeline.lineage.rows import proofs
from pipeline.lineage.rows.merkle import Tree
from pipeline.metadata.address import recorded_address
from pipeline.provenance import records
from pipeline.provenance.ledger import parse_ledger
from pipeline.provenance.statement import digest_of, heads_of, manifest_of, read_statement
from pipeline.root import identity
from pipeline.root.paths import RunPaths

SOON = 1.0
"""Seconds, on a machine that does other things as well the best of three."""


def in_file(read, name):
    """Returns a reader of bytes that lie in a file of this name."""

    def from_bytes(data, folder):
        path = folder / name
        path.write_bytes(data)
        return read(path)

    return from_bytes


def of_record(data, _):
    record = records.from_bytes(data)
    records.to_bytes(record)
    return record.sources, getattr(record, "input_records", ()), getattr(record, "in_store", None)


def of_ledger(data, _):
    found = parse_ledger(data)
    return found.unsettled(), found.collected(), found.highest_version(), found.order, found.head


def of_provenance(data, folder):
    path = folder / PROVENANCE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    served = ServedVersion(1, folder).told_digest
    told = read_statement(path)
    return served, *(of(told) for of in (heads_of, records_of, manifest_of, digest_of))


def of_root(path):
    paths = RunPaths(path.parent)
    return identity.place(path), recorded_address(paths), identity.read(path)


def of_proof(path):
    proof = proofs.read(path)
    return list(proofs.faults(proof, proof.root)), proof.to_dict()


def of_compiled(path):
    found = document.read(path)
    lint(found)
    return found.in_order(), found.values, found.root, found.name, found.service_account


def of_contents(path):
    folder = path.parent
    return source.read_contents(folder)


def of_tf_config(data, _):
    with pytest.MonkeyPatch.context() as patched:
        try:
            patched.setenv(TF_CONFIG, data.decode())
        except ValueError:  # no environment variable at all
            return None
        return Cluster.from_environment()


def npz():
    file = io.BytesIO()
    np.savez(file, history=np.array("[]"), variable0=np.arange(6, dtype=np.float32).reshape(2, 3))
    return file.getvalue()


def npy():
    file = io.BytesIO()
    np.save(file, np.zeros(9, [("row", "V32"), ("pixels", "V32"), ("label", "<i8")]))
    return file.getvalue()


def proof():
    leaves = sorted(hashlib.sha256(str(number).encode()).digest() for number in range(9))
    tree = Tree(leaves)
    rows = {label: (leaves[label], tree.inclusion(label)) for label in range(3)}
    made = proofs.RowProof(
        claim="included",
        split="train",
        root=tree.root,
        size_proof=tree.size_proof(),
        height=8,
        width=8,
        pixels=leaves[0],
        rows=rows,
    )
    return json.dumps(made.to_dict()).encode()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return audited_copy(tmp_path_factory.mktemp("mutated") / "root")


def of_node(paths, node):
    return next(
        path
        for path in sorted(paths.records.iterdir())
        if json.loads(path.read_bytes()).get("node", json.loads(path.read_bytes())["kind"]) == node
    )


def verdict_text():
    checks = [{"name": "accuracy", "value": 0.9, "threshold": 0.8, "passed": True, "reason": "it is"}]
    return json.dumps({"blessed": True, "baseline": "none", "checks": checks}).encode()


CLUSTER = b'{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
POLICY = b"version: 1\nrules:\n  clean_tree: warn\n  leaks: fail\n  anchored: off\n"
GEOMETRY = "8x8-max16-labels10"
KINDS = {
    "recipe": (
        lambda _: (RECIPES / "digits.yaml").read_bytes(),
        in_file(lambda p: load_recipe(str(p)), "r.yaml"),
    ),
    "cluster file": (
        lambda _: (PROJECT / "kubeflow/cluster.example.yaml").read_bytes(),
        in_file(cluster.read, "c.yaml"),
    ),
    "policy": (lambda _: POLICY, in_file(policy.read, "p.yaml")),
    "compiled yaml": (lambda _: compiled_example(".yaml"), in_file(of_compiled, "c.yaml")),
    "compiled json": (lambda _: compiled_example(".json"), in_file(of_compiled, "c.json")),
    "record": (lambda paths: of_node(paths, "ExampleGen").read_bytes(), of_record),
    "record of a run": (lambda paths: of_node(paths, "run").read_bytes(), of_record),
    "ledger": (lambda paths: paths.ledger.read_bytes(), of_ledger),
    "provenance": (lambda paths: (paths.serving / "1" / PROVENANCE).read_bytes(), of_provenance),
    "root.json": (lambda paths: paths.identity.read_bytes(), in_file(of_root, "root.json")),
    "proof": (lambda _: proof(), in_file(of_proof, "proof.json")),
    "contents.json": (lambda paths: one_of(paths, "contents.json"), in_file(of_contents, "contents.json")),
    "sources.json": (lambda paths: one_of(paths, "sources.json"), in_file(source.read_sources, "sources.json")),
    "verdict.json": (lambda _: verdict_text(), lambda data, _: Verdict.from_json(data.decode(errors="replace"))),
    "TF_CONFIG": (lambda _: CLUSTER, of_tf_config),
    "npz": (lambda _: npz(), lambda data, _: arrays.parse_npz(data, where="it")),
    "npy": (lambda _: npy(), lambda data, _: arrays.parse_npy(data, where="it")),
    "profile": (
        lambda _: (PROJECT / f"schema/{GEOMETRY}.profile.json").read_bytes(),
        in_file(schema_files.read_reference, "p.json"),
    ),
    "schema": (
        lambda _: (PROJECT / f"schema/{GEOMETRY}.pbtxt").read_bytes(),
        in_file(schema_files.read_schema, "s.pbtxt"),
    ),
    "approvals": (
        lambda _: (PROJECT / "schema/approved.json").read_bytes(),
        in_file(lambda path: schema_files.approvals(path.parent), "approved.json"),
    ),
}
YAML = {"recipe", "cluster file", "policy", "compiled yaml"}


def one_of(paths, name):
    return next(iter(sorted(paths.inputs.glob(f"*/{name}")))).read_bytes()


def compiled_example(suffix):
    [file] = sorted((PROJECT / "kubeflow/compiled").glob("*.yaml"))[:1]
    if suffix == ".yaml":
        return file.read_bytes()
    first = untrusted_documents(file.read_bytes())
    return json.dumps({"displayName": "d", "pipelineSpec": first, "runtimeConfig": {"parameterValues": {}}}).encode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_is_read_or_refused_in_our_own_words(kind, built, tmp_path):
    make, read = KINDS[kind]
    data = make(built)
    load, dump = (untrusted_documents, as_yaml) if kind in YAML else (json.loads, None)
    # A compiled file is a hundred times as long as the others; one in YAML takes 0.1 s to read.
    count = COUNT // 6 if kind == "compiled yaml" else COUNT
    outcomes = [timed(read, mutated(data, number, load=load, dump=dump), tmp_path) for number in range(count)]
    slow = [number for number, (_, seconds) in enumerate(outcomes) if seconds > SOON]
    assert all(min(timed(read, mutated(data, n, load=load, dump=dump), tmp_path)[1] for _ in "ab") < SOON for n in slow)
    assert any(isinstance(found, MnistTfxError) for found, _ in outcomes)


def untrusted_documents(data):
    return untrusted.parse_yaml_documents(data, where="it")[0]


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
    for number in range(COUNT // 10):
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
