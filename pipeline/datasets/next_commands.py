"""The commands that lead from a data set to a served model, for whoever has just inspected or imported it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from components.features import TRAIN
from components.ingest.copy_paths import address_of

if TYPE_CHECKING:
    from pipeline.datasets.inspection_result import Inspection

_LEAST_ROWS: Final = {(28, 28): 20_000, (8, 8): 1_000}
"""Rows to train on from which on a recipe that is built in reaches its floors; they were chosen with no fewer."""

_BUILT_IN_CLASSES: Final = 10


def of(found: Inspection, schema: Path | None) -> tuple[str, ...]:
    """Return the commands, in their order.

    Args:
      found: the data set.
      schema: the folder of the user's reviewed schemas, if one was named.
    """
    place = shown(found.path)
    own = "" if schema is None else f" --schema {shown(schema)}"
    if found.schema is not None and _fits_built_in(found):
        return (" ".join(("mnist-tfx run --data", place, *map(shlex.quote, found.flags))) + own,)
    recipe = f"{recipe_name(found.path)}.yaml"
    return (
        f"mnist-tfx recipe new --from {place}{_words(found.given.words)} -o {recipe}",
        *with_recipe(found, recipe, schema),
    )


def with_recipe(found: Inspection, recipe: str, schema: Path | None) -> tuple[str, ...]:
    """Return the commands that are left once there is a recipe.

    Args:
      found: the data set.
      recipe: its file, as a shell takes it.
      schema: the folder of the user's reviewed schemas, if one was named.
    """
    place = shown(found.path)
    own = "" if schema is None else f" --schema {shown(schema)}"
    form = _words(found.given.of_form)
    if found.schema is not None:
        return (f"mnist-tfx run --data {place}{form} --recipe {recipe}{own}",)
    return (
        f"mnist-tfx schema propose --data {place}{form} --recipe {recipe}",
        f"mnist-tfx schema approve schema-drafts/{found.geometry}.pbtxt",
        f"mnist-tfx run --data {place}{form} --recipe {recipe} --schema schemas",
    )


def _words(words: tuple[str, ...]) -> str:
    return "".join(f" {shlex.quote(word)}" for word in words)


def shown(path: Path) -> str:
    """Return a path as a command takes it: relative below the working directory, an address for copies from a store."""
    if (address := address_of(path)) is not None:
        return shlex.quote(address)
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) and path != here else path))


def _fits_built_in(found: Inspection) -> bool:
    least = _LEAST_ROWS.get(found.shape)
    return least is not None and found.rows[TRAIN] >= least and found.label_count == _BUILT_IN_CLASSES


def recipe_name(path: Path) -> str:
    """Return a name for the recipe of a data set, which a shell takes as it is."""
    name = path.name.partition(".")[0].lower()
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name).strip("-") or "mine"
