"""The Examples artifact, written from resolved execution properties.

    Split-<split>/data_tfrecord-<i>-of-<n>   Examples (`image`, `label`), uncompressed, sorted by row digest
    row_index/<split>.npy                    digests and label of each row, sorted by row digest
    row_index/<split or all>.blocks          nodes of the Merkle tree over those row digests, one to 1,024 of them, 32 bytes
                                             each: what a proof about one row would otherwise hash all rows for
    profile.json                             {"splits": {split: `components.profile.profile`}}
    data.json                                what was read, the digests of all rows and of each split's, and how many rows
                                             were left out by digest

All of it follows from the content of the data and the recipe's split: no names, no times, no order of arrival.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components import disk
from components.digest import canonical_json
from components.errors import EnvironmentProblem, MnistTfxError
from components.features import SPLITS
from components.ingest import shards, source
from components.ingest.partial import PARTIAL, carried
from components.ingest.row_index import ALL, read_part, write_index
from components.ingest.rows import INDEX, Rows, check_counts
from components.ingest.shards import DIGESTS, EXCLUDED, FACTS, NO_SPLIT, ShardFacts, blocks_file, index_parts
from components.ingest.spill import SHARED
from components.ingest.units import Job, planned
from components.profile import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import apache_beam as beam

ROW_INDEX: Final = "row_index"
PROFILE: Final = "profile.json"
DATA: Final = "data.json"
ROWS_DIGEST: Final = "rows_digest"
EXCLUDED_ROWS: Final = "excluded"


def write_artifact(
    folder: Path,
    exec_properties: Mapping[str, Any],
    root: Path,
    make_pipeline: Callable[[], beam.Pipeline] | None = None,
) -> None:
    """Write the artifact.

    Args:
      folder: where to, an existing folder.
      exec_properties: as `components.ingest.source.resolve` gives them back.
      root: the pipeline's root folder, which they are relative to.
      make_pipeline: gives an empty Beam pipeline; without it this process does all the work, and needs no Beam.

    Raises:
      BadInput: when the data is unusable, under the names it was given by.
      EnvironmentProblem: when the copy of the data is not what it was, or the artifact cannot be written.
    """
    inputs = root / exec_properties["input_base"]
    try:
        contents = source.read_contents(inputs)
        for name in (PARTIAL, ROW_INDEX, *(f"Split-{split}" for split in SPLITS)):
            os.makedirs(folder / name, exist_ok=True)
        parts = source.parts_from_json(exec_properties["source"], root)
        sizes = {str(entry["name"]): int(entry["bytes"]) for entry in contents}
        job = planned(parts, exec_properties["form"], exec_properties["settings"], folder, sizes=sizes)
        _run(job, make_pipeline)
        _complete(folder, job, contents)
    except MnistTfxError as err:
        raise source.under_original_names(err, inputs) from err
    except OSError as err:
        raise disk.problem(err, "cannot be written", where=folder) from err


def _run(job: Job, make_pipeline: Callable[[], beam.Pipeline] | None) -> None:
    try:
        if make_pipeline is None:
            shards.write_alone(job)
            return
        from components.ingest import beam_shards  # Beam, 2 s

        with make_pipeline() as pipeline:
            beam_shards.write_examples(pipeline, job)
    except Exception as err:
        known = carried(err, Path(job.folder))
        if known is None and make_pipeline is not None and isinstance(err, OSError) and err.filename is None:
            # No file of ours: whatever the runner has to reach first.
            raise EnvironmentProblem("Beam's runner failed", where="ExampleGen", got=err) from err
        if known is None:
            raise
        raise known from err


def _complete(folder: Path, job: Job, contents: list[dict[str, Any]]) -> None:
    """Join what the shards left into row index, profile and description, and remove the rest."""
    facts = _facts(folder)
    indexes = {split: index_parts(facts, split) for split in SPLITS}
    counts = {split: sum(part.rows for part in parts) for split, parts in indexes.items()}
    left_out = {split: _left_out(folder, facts, split) for split in (*SPLITS, NO_SPLIT)}
    away = {split: len(left_out[split]) for split in SPLITS}
    if (written := sum(counts.values())) != (taken := job.assignment.taken() - sum(away.values())):
        raise _not_here(folder, f"{taken} rows", written)
    check_counts(counts, job.data.split, away)
    for split, parts in indexes.items():
        write_index(folder, parts, folder / ROW_INDEX / f"{split}.npy")
    for name in (*SPLITS, ALL):
        os.replace(folder / blocks_file(name), folder / ROW_INDEX / f"{name}.blocks")
    profiles = {split: merged(_json(folder / one.profile) for one in facts if one.split == split) for split in SPLITS}
    (folder / PROFILE).write_bytes(canonical_json({"splits": profiles}))
    description = {**describe(counts, _json(folder / DIGESTS), job, contents), **_excluded(left_out, job)}
    (folder / DATA).write_bytes(canonical_json(description))
    shutil.rmtree(folder / PARTIAL)


def _facts(folder: Path) -> list[ShardFacts]:
    """Return what the workers say of the shards, by split and in order, once all their files are here.

    Raises:
      EnvironmentProblem: if they wrote elsewhere.
    """
    try:
        facts = [ShardFacts(**fields) for fields in _json(folder / FACTS)]
        for one in facts:
            if one.name and (size := os.path.getsize(folder / one.name)) != one.size:
                raise _not_here(folder / one.name, f"{one.size} bytes", size)
    except FileNotFoundError as err:
        raise _not_here(folder, "what its workers wrote", f"no {err.filename}") from err
    return facts


def _not_here(where: Path, wanted: str, got: object) -> EnvironmentProblem:
    what = "not all rows are here that Beam's workers were given"
    return EnvironmentProblem(what, where=where, wanted=wanted, got=got, hint=SHARED)


def _excluded(left_out: Mapping[str, Rows], job: Job) -> dict[str, Any]:
    """Return what `data.json` says of rows that were left out; nothing where none were to be.

    Which digests they are is among the settings, and so in the node's key.
    """
    exclusions = job.exclusions
    if not exclusions.digests:
        return {}
    rows = np.concatenate(list(left_out.values()))
    splits = {split: len(index) for split, index in left_out.items() if split in SPLITS}
    unmatched = exclusions.unmatched(rows)
    return {
        EXCLUDED_ROWS: {
            "digests": len(exclusions.digests),
            "rows": sum(splits.values()),
            "splits": splits,
            "unmatched": unmatched,
        }
    }


def _left_out(folder: Path, facts: Sequence[ShardFacts], split: str) -> Rows:
    parts = [read_part(folder, part) for part in index_parts(facts, f"{EXCLUDED}{split}")]
    return np.concatenate([np.empty(0, INDEX), *parts])


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def describe(
    counts: Mapping[str, int], digests: Mapping[str, str], job: Job, contents: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return `data.json`: facts of content alone, so that equal files under any names give equal bytes.

    Args:
      counts: rows by split.
      digests: identity of the rows by split, and of `ALL`: the Merkle root over their row digests, sorted.
      job: what was read.
      contents: name, payload digest and bytes of each file, in the order of the job's units.
    """
    rows_read = job.rows_of_files().values()
    return {
        "version": 1,
        "payload_digest": source.contents_digest(contents),
        "files": [{**entry, "rows": rows} for entry, rows in zip(contents, rows_read, strict=True)],
        "rows": sum(counts.values()),
        ROWS_DIGEST: digests[ALL],
        "splits": {split: {"rows": rows, ROWS_DIGEST: digests[split]} for split, rows in counts.items()},
    }
