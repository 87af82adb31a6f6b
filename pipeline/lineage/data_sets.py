"""The data sets of a root: what each holds, what is stated of it, and the runs and versions that read it.

A data set is known by the Merkle root over its rows, so that files which were renamed, packed or brought into another form
are the same one. A run that ended before its rows were ingested counts for the data set of the files that it was given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from components.errors import MnistTfxError
from components.features import SPLITS
from pipeline.lineage.history import DataSet, History, RunFacts, VersionFacts
from pipeline.provenance import record_store
from pipeline.provenance.file_cache import FileCache
from pipeline.provenance.records import DATA, DataSource, ExecutionRecord
from pipeline.root.paths import RunPaths


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSetFacts:
    """One data set.

    Attributes:
      digest: Merkle root over its rows; of one that was never ingested, the digest of its first file.
      files: as they were given to the run that read it last.
      splits: {split: rows}; empty where that cannot be read.
      classes: how many the recipes declare, each number once.
      sources: where it is from, as the recipes state it, each statement once.
      licences: under which it may be used, likewise.
      runs: that read it, oldest first.
      versions: whose models were made from it, lowest number first; a rollback's are those that it serves again.
    """

    digest: str
    files: tuple[DataSource, ...]
    splits: Mapping[str, int]
    classes: tuple[int, ...]
    sources: tuple[str, ...]
    licences: tuple[str, ...]
    runs: tuple[RunFacts, ...]
    versions: tuple[VersionFacts, ...]

    @property
    def rows(self) -> int | None:
        """How many it has; None where that cannot be read."""
        return sum(self.splits.values()) if self.splits else None

    @property
    def last_read(self) -> str:
        """When the last of its runs began."""
        return self.runs[-1].started


class DataSetReader:
    """Reads the data sets of a root, again and again, from any thread.

    Args:
      root: absolute path of the root.
    """

    def __init__(self, root: Path) -> None:
        self._records = RunPaths(root).records
        self._splits: FileCache[str, Mapping[str, int]] = FileCache()

    def read(self, history: History) -> tuple[DataSetFacts, ...]:
        """Return the data sets of a history, in the order in which they were first read."""
        groups: dict[str, list[tuple[RunFacts, DataSet]]] = {}
        ingested = _by_files(history.runs)
        for run in history.runs:
            if run.data is not None:
                known = None if run.data.ingested else ingested.get(_payloads(run.data))
                groups.setdefault(known or run.data.digest, []).append((run, run.data))
        return tuple(self._facts(digest, pairs, history.versions) for digest, pairs in groups.items())

    def _facts(
        self, digest: str, pairs: list[tuple[RunFacts, DataSet]], versions: Mapping[int, VersionFacts]
    ) -> DataSetFacts:
        runs, data = tuple(run for run, _ in pairs), [one for _, one in pairs]
        return DataSetFacts(
            digest=digest,
            files=data[-1].files,
            splits=self._rows_of(one.ingested for one in data),
            classes=tuple(dict.fromkeys(one.classes for one in data if one.classes is not None)),
            sources=tuple(dict.fromkeys(one.source for one in data if one.source)),
            licences=tuple(dict.fromkeys(one.licence for one in data if one.licence)),
            runs=runs,
            versions=_versions_of({run.version.version for run in runs if run.version is not None}, versions),
        )

    def _rows_of(self, ingests: Iterable[str | None]) -> Mapping[str, int]:
        """Return {split: rows} by the first record that tells: of the same rows, all tell the same."""
        for hash_ in dict.fromkeys(ingests):
            if hash_ is None:
                continue
            try:
                return self._recorded_splits(hash_)
            except MnistTfxError:
                continue  # another run may have left one that can be read
        return {}

    def _recorded_splits(self, hash_: str) -> Mapping[str, int]:
        def read() -> Mapping[str, int]:
            record = record_store.read(self._records, hash_)
            splits = record.extra.get(DATA, {}).get("splits", {}) if isinstance(record, ExecutionRecord) else {}
            return {split: splits[split]["rows"] for split in sorted(splits, key=_place)}

        return self._splits.read(hash_, [record_store.file_of(self._records, hash_)], read)


def _place(split: str) -> tuple[int, str]:
    return SPLITS.index(split) if split in SPLITS else len(SPLITS), split


def _payloads(data: DataSet) -> frozenset[str]:
    return frozenset(file.payload_digest for file in data.files)


def _by_files(runs: Iterable[RunFacts]) -> dict[frozenset[str], str]:
    """Return {digests of files: digest of the data set}, of files that became one data set alone."""
    found: dict[frozenset[str], set[str]] = {}
    for run in runs:
        if run.data is not None and run.data.ingested:
            found.setdefault(_payloads(run.data), set()).add(run.data.digest)
    return {files: next(iter(digests)) for files, digests in found.items() if len(digests) == 1}


def _versions_of(numbers: set[int], versions: Mapping[int, VersionFacts]) -> tuple[VersionFacts, ...]:
    return tuple(one for number, one in sorted(versions.items()) if number in numbers or one.restored in numbers)
