"""Code in a pod's image: the project's and the user's own, which have to be what the pipeline was compiled from."""

from __future__ import annotations

from typing import Final

from components.errors import BadInput, Refused
from components.settings import Settings
from pipeline.provenance.code import Code, Sources
from pipeline.provenance.own_code import OwnCode, code_of_stage, code_with
from pipeline.stages import STAGES

HINT: Final = "build the image with it, in a folder that PYTHONPATH names: docs/how-to/own-model.md"


def of_node(node: str, build: str | None, lock: str) -> tuple[Code, OwnCode | None]:
    """Return the code of a node in this image, and the user's own in it.

    Args:
      node: its id.
      build: the function of the user's that it runs; None if it runs none.
      lock: SHA-256 of the lock file.

    Raises:
      Refused: if the image does not hold the function.
    """
    stage = STAGES[node]
    try:
        return code_with(stage.modules, build, lock, where=stage.section)
    except BadInput as err:
        raise _not_in_image(err) from err


def of_recipe(settings: Settings, lock: str) -> dict[str, str]:
    """Return {node id: digest of its code in this image}.

    Raises:
      Refused: if the image does not hold a function that the recipe names.
    """
    sources = Sources()
    try:
        return {stage.id: code_of_stage(stage, settings, lock, sources=sources)[0].digest for stage in STAGES.values()}
    except BadInput as err:
        raise _not_in_image(err) from err


def _not_in_image(err: BadInput) -> Refused:
    return Refused("the image does not hold this code", where=err.where, wanted=err.wanted, got=err.what, hint=HINT)
