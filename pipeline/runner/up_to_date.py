"""A serving directory and what a run would use -> whether the newest served version was made from exactly that.

Provenance alone is asked, so it works where nothing but the serving directory is at hand, as in a pod. `same_work` says
no wherever it cannot say yes: a run too many is cheaper than data that nobody looks at. A local run knows more, and
asks its planner (see `pipeline.runner.nothing_new`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from components.digest import content_entry, manifest_digest
from components.errors import MnistTfxError
from components.schema_files import PROFILE_NAME, SCHEMA_NAME, profile_file
from components.serving import PROVENANCE, versions
from components.settings import Settings
from pipeline.provenance.statement import read_statement
from pipeline.stages import SECTIONS

DATA: Final = "data/"
CODE: Final = "code/"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Newest:
    """The newest version that was pushed and not changed since.

    Attributes:
      version: its number.
      provenance: its statement.
    """

    version: int
    provenance: Mapping[str, Any]


def newest_served(serving_dir: Path) -> Newest | None:
    """Returns the newest version; None if there is none, or it is not as it was pushed, or its provenance is unreadable."""
    newest = next(reversed(versions(serving_dir)), None)
    # TF Serving takes the highest number: whatever else it is, it is not served on account of an older one.
    if newest is None or not newest.as_pushed:
        return None
    try:
        provenance = read_statement(newest.path / PROVENANCE)
    except MnistTfxError:
        return None
    return Newest(version=newest.version, provenance=provenance)


def newest_version_made_from(serving_dir: Path, payload_digests: Mapping[str, str]) -> int | None:
    """Returns the newest served version if it was made from exactly these bytes, else None.

    Args:
      serving_dir: the folder with the numbered versions.
      payload_digests: {canonical name: payload digest}, as `components.ingest.source.read_contents` has them. The
        names count, as they follow from the data: the same files with train and test exchanged are other data.
    """
    newest = newest_served(serving_dir)
    if newest is None or _told(newest.provenance, DATA) != dict(payload_digests):
        return None
    return newest.version


def same_work(
    provenance: Mapping[str, Any],
    *,
    payload_digests: Mapping[str, str],
    settings: Mapping[str, Any],
    code: Mapping[str, str],
    schema: Mapping[str, str],
) -> bool:
    """Whether a version was made from the same data by the same code, with the same settings and schema.

    Args:
      provenance: of the version.
      payload_digests: as for `newest_version_made_from`.
      settings: {node id: its section of the recipe}, see `sections`.
      code: {node id: code digest}. Those of nodes that judge a model or serve it are not asked for: a model is no other
        one because of them, and provenance names the code behind the model alone.
      schema: see `schema_digests`.
    """
    known_code, known_schema = _told(provenance, CODE), _told(provenance, "ReviewedSchema/")
    return (
        _told(provenance, DATA) == dict(payload_digests)
        and _settings(provenance) == dict(settings)
        and bool(known_code)
        and all(code.get(node) == digest for node, digest in known_code.items())
        and known_schema == dict(schema)
    )


def sections(settings: Settings) -> dict[str, Any]:
    """Returns {node id: its section of the recipe}, as a provenance statement tells it."""
    recipe = settings.model_dump(mode="json")
    return {node: recipe[section] for node, section in SECTIONS.items() if recipe[section] is not None}


def schema_digests(schema: Path) -> dict[str, str]:
    """Returns {channel of ReviewedSchema: artifact digest} for a reviewed schema and its reference profile.

    Args:
      schema: `Reviewed.schema`.
    """
    return {
        "schema": manifest_digest({SCHEMA_NAME: content_entry(schema)}),
        "reference": manifest_digest({PROFILE_NAME: content_entry(profile_file(schema))}),
    }


def _told(provenance: Mapping[str, Any], prefix: str) -> dict[str, str]:
    """Returns {name: digest} of the dependencies whose names begin with `prefix`; one with two digests is none."""
    found: dict[str, str] = {}
    for resource in provenance["predicate"]["buildDefinition"]["resolvedDependencies"]:
        if resource["name"].startswith(prefix):
            name = resource["name"].removeprefix(prefix)
            digest = next(iter(resource["digest"].values()), "none of them")
            found[name] = digest if found.get(name, digest) == digest else "two of them"
    return found


def _settings(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    return dict(provenance["predicate"]["buildDefinition"]["externalParameters"]["settings"])
