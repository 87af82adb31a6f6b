"""Data of a pipeline in a pod: the files, their digests, and ExampleGen's resolved execution properties.

A source is a bucket's URI, whose folder the launcher has put into the pod for the importer's artifact; a path on a
mounted volume; or `embedded`. What is done with the files is what the local driver does with them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from components.errors import BadInput, Refused
from components.ingest import discovery, import_record, source, spans
from components.ingest.data_files import DataFiles
from components.ingest.forms import CSV
from components.settings import DataSettings
from pipeline.datasets.fetch import fetch_digits
from pipeline.kubeflow import names, places
from pipeline.kubeflow.pod.invocation import Invocation
from pipeline.provenance.records import Scalar

DRIVERS_OWN: Final = frozenset({names.FINGERPRINT, names.IS_NEW, names.SPANS})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Digested:
    """What identifies the data.

    Attributes:
      payloads: {canonical name: payload digest}.
      told: each file as it was given: name, digests, size.
      imported: digest of the record of the import that wrote the files; None where no such record lies beside them.
    """

    payloads: Mapping[str, str]
    told: Sequence[Mapping[str, Any]]
    imported: str | None = None

    @property
    def fingerprint(self) -> str:
        """What KFP's cache is to know the data by."""
        contents = source.contents_digest([{"name": n, "payload_digest": p} for n, p in self.payloads.items()])
        return fingerprint(contents, self.imported)


def fingerprint(contents: str, imported: str | None) -> str:
    """Return what KFP's cache is to know data by: their content, and where it came from.

    ExampleGen's record names the record of the import. Without that in the key, KFP would hand out Examples that say
    where the rows came from before pictures were renamed and imported again.

    Args:
      contents: digest of names and payloads.
      imported: digest of the record of their import; None where there is none.
    """
    return contents if imported is None else f"{contents}-{imported}"


def find(invocation: Invocation, root: Path) -> DataFiles:
    """Find the data files.

    Args:
      invocation: its parameters say where, and in which form.
      root: of the pod, where the embedded digits are written.

    Raises:
      BadInput: if there is no usable data, or images of another shape than the recipe's.
    """
    given, form = str(invocation.parameters[names.SOURCE]), str(invocation.parameters["form"])
    if given == names.EMBEDDED:
        fetch_digits(root / names.EMBEDDED, "csv" if form == "csv" else "idx")
        return discovery.discover([root / names.EMBEDDED], form=form)
    place = places.local(given) if "://" in given else places.volume(given)
    matching = spans.resolve(str(place), int(str(invocation.parameters.get(names.SPANS, 1))))
    files = discovery.discover_spans(matching, form=form) if matching else discovery.discover([place], form=form)
    _require_shape(files, DataSettings.from_json(str(invocation.parameters["settings"])))
    return files


def resolve(invocation: Invocation, root: Path) -> dict[str, Scalar]:
    """Return ExampleGen's execution properties, after copying the data below the pod's root.

    Raises:
      Refused: if the data is no longer what the driver digested.
      BadInput: as `components.ingest.source.resolve`.
      EnvironmentProblem: as `components.ingest.source.resolve`.
    """
    given = {name: value for name, value in invocation.parameters.items() if name not in DRIVERS_OWN}
    properties = {**given, "source": source.parts_to_json(find(invocation, root).parts)}
    resolved = source.resolve(properties, root)
    wanted = invocation.parameters.get(names.FINGERPRINT)
    read = fingerprint(resolved[source.FINGERPRINT], resolved.get(import_record.PROPERTY))
    if read != wanted:
        raise Refused(
            "the data was changed after it was digested",
            where=str(invocation.parameters[names.SOURCE]),
            wanted=wanted,
            got=read,
            hint="start the run again once the data is complete",
        )
    return resolved


def digest(files: DataFiles, data: DataSettings) -> Digested:
    """Read every file and returns what identifies it.

    Raises:
      BadInput: if a file cannot be decompressed, or an IDX pair does not fit itself.
    """
    inputs = source.named_inputs(files.parts, form=files.form, data=data)
    sources = [
        {
            "name": one.path.name,
            "payload_digest": one.digest.payload,
            "container_digest": one.digest.container,
            "bytes": one.digest.payload_bytes,
        }
        for one in inputs
    ]
    imported = source.import_record_of(inputs)
    return Digested(
        payloads={one.name: one.digest.payload for one in inputs},
        told=sources,
        imported=None if imported is None else imported.digest,
    )


def _require_shape(files: DataFiles, data: DataSettings) -> None:
    shape = discovery.geometry(files) if files.form != CSV else None
    if shape is not None and shape != data.file_shape:
        raise BadInput(
            "the recipe is for images of another shape",
            where=files.parts[0].files[0],
            wanted="x".join(map(str, data.file_shape)),
            got="x".join(map(str, shape)),
        )
