"""Recipe files as they are written: found by name or path, read, and followed to what they extend.

`extends: mnist` names a recipe of the package, `extends: ../base.yaml` a file, relative to the one that says it. A
mapping is merged key by key; any other value, a list or null among them, takes the place of the inherited one.
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from components.errors import BadInput
from components.suggestions import closest, did_you_mean
from components.untrusted import MIB, read_yaml
from components.wording import as_written

RECIPES: Final = Path(__file__).parent / "recipes"
SUFFIXES: Final = (".yaml", ".yml")
LARGEST_FILE: Final = MIB
"""Bytes of a recipe; the longest of ours has 2 KB."""

EXTENDS, PROFILES, NAME = "extends", "profiles", "name"
"""Keys of a file that are read here, and of which `Settings` sees only the last."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecipeFile:
    """One file.

    Attributes:
      path: of the file.
      values: its sections.
      profiles: {name: overlay of the sections}.
      extends: the recipe that it changes, as written; None if it stands alone.
    """

    path: Path
    values: Mapping[str, Any]
    profiles: Mapping[str, Mapping[str, Any]]
    extends: str | None = None


@dataclasses.dataclass(frozen=True)
class Chain:
    """A recipe with all that it extends.

    Attributes:
      files: the recipe itself first, then what it extends, and so on.
    """

    files: tuple[RecipeFile, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What each file is called: a recipe of the package by its name, any other file by its own."""
        return tuple(_shown(file.path) for file in self.files)

    @property
    def where(self) -> str:
        """The recipe for a message, such as `mine.yaml, which extends mnist`."""
        return ", which extends ".join((self.files[0].path.name, *self.names[1:]))

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of the files that are not the package's, each once, the recipe's own first."""
        folders = (file.path.absolute().parent for file in self.files)
        return tuple(dict.fromkeys(folder for folder in folders if folder != RECIPES))

    @property
    def profiles(self) -> list[str]:
        """The names of all profiles, sorted."""
        return sorted({name for file in self.files for name in file.profiles})

    def values(self, profile: str | None) -> dict[str, Any]:
        """Return the sections with a profile put over them.

        What a file says goes over all that it inherits, whatever profile that comes from: a profile of a recipe that is
        extended is part of what is extended.
        """
        merged: dict[str, Any] = {}
        for file in reversed(self.files):
            overlay(merged, copy.deepcopy(dict(file.values)))
            overlay(merged, copy.deepcopy(dict(file.profiles.get(profile or "") or {})))
        return merged


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def is_file_name(recipe: str) -> bool:
    """Return whether a recipe is named by its file."""
    return recipe.endswith(SUFFIXES)


def read_chain(recipe: str) -> Chain:
    """Read a recipe and all that it extends.

    Args:
      recipe: the name of a recipe of the package, or the path of a YAML file.

    Raises:
      BadInput: for an unknown recipe, one that extends itself, or a file that is none.
    """
    files: list[RecipeFile] = []
    path: Path | None = _find(recipe, where="--recipe")
    while path is not None:
        _refuse_cycle(path, files)
        files.append(_read(path))
        path = _extended(files[-1])
    if len(files) > 1 and NAME not in files[0].values:
        what = "a recipe that extends another has a name of its own"
        raise BadInput(what, where=files[0].path, wanted="name: NAME", hint="its root is runs/NAME")
    return Chain(tuple(files))


def overlay(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Put one mapping over another, in place: mappings key by key, any other value as a whole."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            overlay(values[key], value)
        else:
            values[key] = value


def _find(recipe: str, *, where: object, folder: Path = Path()) -> Path:
    if is_file_name(recipe):
        return folder / recipe
    known = recipe_names()
    if recipe not in known:
        wanted, hint = f"{', '.join(known)}, or FILE.yaml", did_you_mean(closest(recipe, known, str.lower))
        raise BadInput("unknown recipe", where=where, wanted=wanted, got=recipe, hint=hint)
    return RECIPES / f"{recipe}.yaml"


def _extended(file: RecipeFile) -> Path | None:
    if file.extends is None:
        return None
    return _find(file.extends, where=f"{file.path}, {EXTENDS}", folder=file.path.parent)


def _refuse_cycle(path: Path, files: Sequence[RecipeFile]) -> None:
    seen = [os.path.realpath(file.path) for file in files]
    if os.path.realpath(path) in seen:
        round_trip = [*(_shown(file.path) for file in files[seen.index(os.path.realpath(path)) :]), _shown(path)]
        raise BadInput("a recipe extends itself", where=files[0].path, got=" extends ".join(round_trip))


def _shown(path: Path) -> str:
    return path.stem if path.parent == RECIPES else str(path)


def _read(path: Path) -> RecipeFile:
    values = read_yaml(path, limit=LARGEST_FILE)
    if not isinstance(values, dict):
        raise BadInput("not a recipe", where=path, wanted="a mapping of sections", got=as_written(values))
    extends, profiles = values.pop(EXTENDS, None), values.pop(PROFILES, None)
    if extends is not None and not isinstance(extends, str):
        wanted = "the name of a recipe, or a YAML file"
        raise BadInput(EXTENDS, where=path, wanted=wanted, got=as_written(extends))
    if profiles is not None and not isinstance(profiles, dict):
        raise BadInput(PROFILES, where=path, wanted="overlays by name", got=as_written(profiles))
    return RecipeFile(path=path, values=values, profiles=dict(_overlays(profiles or {}, path)), extends=extends)


def _overlays(profiles: Mapping[Any, Any], path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, over in profiles.items():
        if over is not None and not isinstance(over, dict):
            raise BadInput(f"{PROFILES}.{name}", where=path, wanted="a mapping of sections", got=as_written(over))
        yield str(name), over or {}
