"""What is read, by whom, and a file of each kind that is as it should be."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tempfile
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
from command_line import PROJECT
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from data_forms import png, write_parquet
from statements import records_of

from components import arrays, schema_files, untrusted
from components.errors import BadInput
from components.evaluation.thresholds import Verdict
from components.ingest import source
from components.serving import PROVENANCE, ServedVersion
from components.settings import DataSettings
from components.training.cluster import TF_CONFIG, Cluster
from pipeline.audit import policy
from pipeline.config.recipe import load_recipe
from pipeline.config.recipe_file import RECIPES
from pipeline.datasets.imports.opening import Tools
from pipeline.datasets.inspection import inspect
from pipeline.kubeflow import document
from pipeline.kubeflow.compiler import cluster
from pipeline.kubeflow.lint.check import lint
from pipeline.lineage.rows import proofs
from pipeline.lineage.rows.merkle import Tree
from pipeline.metadata.address import recorded_address
from pipeline.predict import photograph
from pipeline.predict.digit import Frame, find_digit
from pipeline.predict.server import json_tensors
from pipeline.predict.server.model import Signature, TensorSpec
from pipeline.predict.server.status import RequestError, invalid
from pipeline.provenance import records
from pipeline.provenance.dsse import Envelope, NotAnEnvelope
from pipeline.provenance.keys import PrivateKey, PublicKey, parse_public
from pipeline.provenance.ledger import parse_ledger
from pipeline.provenance.statement import digest_of, heads_of, manifest_of, read_statement
from pipeline.root import identity
from pipeline.root.paths import RunPaths


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


def of_statement(data, folder):
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


def of_node(paths, node):
    return next(
        path
        for path in sorted(paths.records.iterdir())
        if json.loads(path.read_bytes()).get("node", json.loads(path.read_bytes())["kind"]) == node
    )


def verdict_text():
    checks = [{"name": "accuracy", "value": 0.9, "threshold": 0.8, "passed": True, "reason": "it is"}]
    return json.dumps({"blessed": True, "baseline": "none", "checks": checks}).encode()


def of_data(*names, beside=()):
    """Returns a reader of the files of a data set, of which the fuzzed one has the first name."""

    def read(data, folder):
        place = folder / "data"
        place.mkdir(exist_ok=True)
        for name, content in ((names[0], data), *beside):
            (place / name).write_bytes(content() if callable(content) else content)
        return inspect(place, tools=TOOLS)

    return read


TOOLS = Tools(
    read=lambda path: photograph.read(path).grey,
    fit=lambda grey, shape, dark: (
        find_digit(grey.astype(np.float32), Frame.of(DataSettings(shape=shape, pixel_max=255)), dark=dark).image
    ),
)
IMAGES = np.arange(12 * 64, dtype=np.uint32).reshape(12, 8, 8) * 7 % 256
LABELS = np.arange(12) % 10


def idx_images():
    return struct.pack(">4I", 0x803, *IMAGES.shape) + IMAGES.astype(np.uint8).tobytes()


def idx_labels():
    return struct.pack(">2I", 0x801, len(LABELS)) + LABELS.astype(np.uint8).tobytes()


def table(mark=","):
    rows = (mark.join(map(str, (label, *image.ravel()))) for label, image in zip(LABELS, IMAGES, strict=True))
    return "\n".join(rows).encode()


def arff():
    names = [f"@attribute pixel{number} numeric" for number in range(64)]
    header = ["% digits", "@relation digits", *names, "@attribute class {0,1,2,3,4,5,6,7,8,9}", "@data"]
    rows = [",".join(map(str, (*image.ravel(), label))) for label, image in zip(LABELS, IMAGES, strict=True)]
    return "\n".join((*header, *rows)).encode()


def images_npz():
    file = io.BytesIO()
    np.savez(
        file, x_train=IMAGES.astype(np.uint8), y_train=LABELS, x_test=IMAGES[:4].astype(np.uint8), y_test=LABELS[:4]
    )
    return file.getvalue()


def parquet_file():
    with tempfile.TemporaryDirectory() as folder:
        return write_parquet(
            Path(folder) / "t.parquet", IMAGES.astype(np.uint8), LABELS, names=list("abcdefghij")
        ).read_bytes()


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, (label, image) in enumerate(zip(LABELS, IMAGES.astype(np.uint8), strict=True)):
            archive.writestr(f"digits/{label}/{number}.png", png(image))
    return file.getvalue()


def picture():
    return png(IMAGES[0].astype(np.uint8).repeat(4, 0).repeat(4, 1))


def of_picture(data, folder):
    path = folder / "a.png"
    path.write_bytes(data)
    return find_digit(photograph.read(path).grey, Frame.of(DataSettings(shape=(8, 8), pixel_max=16)), dark=None)


def envelope():
    return (
        Envelope(payload=b'{"a": 1}', payload_type="application/vnd.in-toto+json")
        .countersigned(KEYS.private)
        .to_bytes()
    )


def of_envelope(data, _):
    try:
        return Envelope.from_bytes(data).signed_by(KEYS.public)
    except NotAnEnvelope as err:
        raise BadInput(str(err)) from err  # as every caller does


def of_public_key(data, _):
    return parse_public(data, where="it")


class KEYS:
    """A pair that is the same in every process: Ed25519 from 32 bytes that stand here."""

    _key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public = PublicKey(key=_key.public_key())
    private = PrivateKey(key=_key, public=public)


PIXELS = TensorSpec(dtype=np.dtype(np.uint8), tensorflow_dtype="DT_UINT8", shape=(-1, 4))
TEXT = TensorSpec(dtype=np.dtype(object), tensorflow_dtype="DT_STRING", shape=(-1,))
SIGNATURES = {
    name: Signature(name=name, inputs={"images": spec}, outputs={}, call=None, batcher=None)
    for name, spec in (("serving_default", PIXELS), ("text", TEXT))
}
REQUEST = b'{"signature_name": "serving_default", "instances": [[0, 1, 2, 255], {"b64": "AAEC"}]}'


def of_request(data, _):
    def signature(name):
        if name not in SIGNATURES:
            raise invalid(f"no signature {name}")
        return SIGNATURES[name]

    try:
        return json_tensors.parse_predict(data, types.SimpleNamespace(signature=signature))
    except RequestError as err:
        raise BadInput(str(err)[:500]) from err  # it becomes the answer's body


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
    "statement": (lambda paths: (paths.serving / "1" / PROVENANCE).read_bytes(), of_statement),
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
    "idx images": (
        lambda _: idx_images(),
        of_data("train-images-idx3-ubyte", beside=[("train-labels-idx1-ubyte", idx_labels)]),
    ),
    "idx labels": (
        lambda _: idx_labels(),
        of_data("train-labels-idx1-ubyte", beside=[("train-images-idx3-ubyte", idx_images)]),
    ),
    "csv": (lambda _: table(), of_data("train.csv")),
    "tsv": (lambda _: table("\t"), of_data("train.tsv")),
    "csv.gz": (lambda _: gzip.compress(table(), mtime=0), of_data("train.csv.gz")),
    "arff": (lambda _: arff(), of_data("digits.arff")),
    "images npz": (lambda _: images_npz(), of_data("mnist.npz")),
    "parquet": (lambda _: parquet_file(), of_data("train-00000-of-00001.parquet")),
    "zip": (lambda _: zipped(), of_data("digits.zip")),
    "picture": (lambda _: picture(), of_picture),
    "envelope": (lambda _: envelope(), of_envelope),
    "public key": (lambda _: KEYS.public.pem.encode(), of_public_key),
    "request": (lambda _: REQUEST, of_request),
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


def untrusted_documents(data):
    return untrusted.parse_yaml_documents(data, where="it")[0]
