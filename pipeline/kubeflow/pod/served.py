"""What is served on a pod's volume, which other roots may push to as well: it has to be this pipeline's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from components.errors import BadInput
from components.serving import OWN_DIRECTORY, refuse_other_pipeline
from components.settings import DataSettings
from pipeline.runner.up_to_date import Newest
from pipeline.stages import INGEST

SIGNATURE: Final = ("shape", "pixel_max", "label_count")
"""Settings of the data that a model's inputs and outputs follow from, as in the identity of a root."""


def require_same_pipeline(folder: Path, newest: Newest | None, pipeline: str, data: DataSettings) -> None:
    """Refuse a run whose model would take the place of another pipeline's, before anything is trained.

    Args:
      folder: the serving directory.
      newest: version in it, if there is one as it was pushed.
      pipeline: name of the recipe.
      data: its section on data.

    Raises:
      BadInput: naming what is served and what would be.
    """
    refuse_other_pipeline(folder, pipeline)
    if newest is None:
        return
    settings = newest.provenance["predicate"]["buildDefinition"]["externalParameters"]["settings"]
    served, wanted = _signature(settings.get(INGEST)), _signature(data.to_dict())
    if served and served != wanted:
        raise BadInput(
            "models for other images are served from this directory",
            where=folder / str(newest.version),
            wanted=_words(wanted),
            got=_words(served),
            hint=OWN_DIRECTORY,
        )


def _signature(data: Any) -> dict[str, Any]:
    """Return what of the settings decides; empty if there are none to read."""
    if not isinstance(data, dict) or not data.keys() >= set(SIGNATURE):
        return {}
    return {name: list(data[name]) if name == "shape" else data[name] for name in SIGNATURE}


def _words(signature: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in signature.items())
