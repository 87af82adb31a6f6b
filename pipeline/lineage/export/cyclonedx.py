"""The export as a CycloneDX 1.6 bill of materials of the model (ML-BOM), in JSON.

https://cyclonedx.org/docs/1.6/json/. The model is the component described; data, artifacts, code and packages are the
components it was made from, and the formulation says by which tasks. A `hash` in CycloneDX is that of a file's bytes, so
tree digests and Merkle roots are properties.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pipeline.lineage.export.origin import CODE, DATA, LOCK, SUBJECT, Item, Origin
from pipeline.provenance.accuracy import accuracy_of
from pipeline.provenance.statement import COMMIT, RECORDS, SHA256, TREE
from pipeline.stages import INGEST, STAGES

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component

PROPERTY: Final = "mnist-tfx:"
MODEL_REF: Final = "model"

LIMITATIONS: Final = (
    "Its figures are those of test images of the same source as those it learned from.",
    "What is stated of source and licence of the data is the word of whoever wrote the recipe.",
)
"""What a reader of the model card has to know of every model that is made here."""


def cyclonedx(origin: Origin) -> str:
    """Return the bill of materials; the library writes it, but for two parts that it has no classes for yet."""
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    written = make_outputter(_bom(origin), OutputFormat.JSON, SchemaVersion.V1_6).output_as_string()
    fields = json.loads(written)
    fields["metadata"]["component"]["modelCard"] = _model_card(origin)
    fields["formulation"] = [_formula(origin)]
    return json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _bom(origin: Origin) -> Bom:
    from cyclonedx.model.bom import Bom, BomMetaData

    model = _model(origin)
    components = [_component(item) for item in origin.items if item.role != SUBJECT]
    parts = [*components, *_packages(origin)]
    when = dt.datetime.fromisoformat(origin.details["metadata"]["finishedOn"].replace("Z", "+00:00"))
    bom = Bom(
        serial_number=origin.uuid("bom", str(origin.lineage.version), origin.model.digest),
        metadata=BomMetaData(timestamp=when, component=model),
        components=parts,
    )
    by_ref = {part.bom_ref.value: part for part in (model, *components)}
    for target, sources in _edges(origin).items():
        bom.register_dependency(by_ref[target], [by_ref[source] for source in sources])
    return bom


def _model(origin: Origin) -> Component:
    from cyclonedx.model.component import Component, ComponentType

    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=origin.recipe,
        version=str(origin.lineage.version),
        bom_ref=MODEL_REF,
        components=[_component(file) for file in origin.files],
        properties=_properties({origin.model.algorithm: origin.model.digest, "path": origin.lineage.path}),
    )


def _component(item: Item) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    is_file = item.algorithm == SHA256
    properties = {} if is_file else {item.algorithm: item.digest}
    properties |= {
        name: str(item.annotations[name]) for name in ("path", "type", "node", "bytes") if name in item.annotations
    }
    return Component(
        type=ComponentType(_kind(item)),
        name=item.name,
        bom_ref=_ref(item),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=item.digest)] if is_file else (),
        properties=_properties(properties),
    )


def _kind(item: Item) -> str:
    if item.annotations.get("type") == "Model":
        return "machine-learning-model"
    if item.name.startswith(CODE) or item.algorithm == COMMIT:
        return "application"
    is_file = item.role == SUBJECT or item.name == LOCK or item.name.startswith(RECORDS)
    return "file" if is_file else "data"


def _packages(origin: Origin) -> Iterable[Component]:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    for name, version in sorted(origin.packages.items()):
        url = PackageURL("generic" if name == "python" else "pypi", None, name, version)
        kind = ComponentType.PLATFORM if name == "python" else ComponentType.LIBRARY
        yield Component(type=kind, name=name, version=version, purl=url, bom_ref=str(url))


def _properties(values: Mapping[str, str]) -> list[Any]:
    from cyclonedx.model import Property

    return [Property(name=f"{PROPERTY}{name}", value=value) for name, value in values.items()]


def _ref(item: Item) -> str:
    return MODEL_REF if item.role == SUBJECT and item.algorithm == TREE else item.ref


def _edges(origin: Origin) -> dict[str, list[str]]:
    """Return {what was made: what it was made from}, by reference."""
    edges: dict[str, dict[str, None]] = {}
    for hash_, record in origin.executions.items():
        sources = [_ref(item) for _, item in origin.inputs_of(record)]
        for target in {_ref(item): None for _, item in origin.outputs_of(hash_)}:
            edges.setdefault(target, {}).update(dict.fromkeys(source for source in sources if source != target))
    return {target: list(sources) for target, sources in edges.items()}


def _model_card(origin: Origin) -> dict[str, Any]:
    data = [item for item in origin.items if item.name.startswith((DATA, f"{INGEST}/examples"))]
    metrics = [_metric(origin, name, value) for name, value in origin.metrics.items()]
    left_out = [{"name": f"{PROPERTY}data.excluded", "value": str(count)} for count in origin.excluded]
    stated = [{"name": f"{PROPERTY}data.{name}", "value": value} for name, value in sorted(origin.stated.items())]
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": "image classification",
            "datasets": [{"ref": _ref(item)} for item in data],
            "inputs": [{"format": "uint8 [N, height * width]"}],
            "outputs": [{"format": "classes int64 [N], probabilities float32 [N, labels]"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": {"technicalLimitations": list(LIMITATIONS)},
        **({"properties": properties} if (properties := [*stated, *left_out]) else {}),
    }


def _metric(origin: Origin, name: str, value: float) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": name, "value": str(value), "slice": "test"}
    measured = accuracy_of(origin.metrics) if name == "accuracy" else None
    if measured is None:
        return fields
    # Wilson's, at 95 %; the format has no field for the level.
    return {**fields, "confidenceInterval": {"lowerBound": str(measured.low), "upperBound": str(measured.high)}}


def _formula(origin: Origin) -> dict[str, Any]:
    metadata = origin.details["metadata"]
    workflow = {
        "bom-ref": "workflow",
        "uid": metadata["invocationId"],
        "name": origin.recipe,
        "taskTypes": ["build", "test"],
        "timeStart": metadata["startedOn"],
        "timeEnd": metadata["finishedOn"],
        "tasks": [_task(origin, hash_) for hash_ in origin.executions],
    }
    return {"bom-ref": "formulation", "workflows": [workflow]}


def _task(origin: Origin, hash_: str) -> dict[str, Any]:
    record = origin.executions[hash_]
    read = dict.fromkeys(_ref(item) for _, item in origin.inputs_of(record))
    written = dict.fromkeys(_ref(item) for _, item in origin.outputs_of(hash_))
    return {
        "bom-ref": f"task/{record.node}@{hash_[:16]}",
        "uid": hash_,
        "name": record.node,
        "taskTypes": [STAGES[record.node].task if record.node in STAGES else "build"],
        "timeStart": record.started,
        "timeEnd": record.finished,
        "inputs": [{"resource": {"ref": ref}} for ref in read],
        "outputs": [{"type": "artifact", "resource": {"ref": ref}} for ref in written],
        "properties": [{"name": f"{PROPERTY}run", "value": record.run_id}],
    }
