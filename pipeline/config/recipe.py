"""Recipes: name or YAML file, profile and overrides, validated as `Settings`.

A recipe is a mapping with the sections of `components.settings.Settings`, and `profiles:`, overlays by name. The
overlay of the chosen profile is applied first, then `--set key=value`, then `--seed` and `--strategy`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from components.errors import BadInput, MnistTfxError, Problems
from components.settings import Settings
from components.suggestions import closest, did_you_mean
from components.untrusted import MIB, parse_yaml, read_yaml
from components.wording import as_written, refusal

RECIPES: Final = Path(__file__).parent / "recipes"
DEFAULT_PROFILE: Final = "fast"
DEFAULT_RECIPE: Final = "digits"
LARGEST_FILE: Final = MIB
"""Bytes of a recipe; the longest of ours has 2 KB."""

BY_SHAPE: Final = {(8, 8): "digits", (28, 28): "mnist"}


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def profile_names(recipe: str) -> list[str]:
    """Return the names of a recipe's profiles, sorted.

    Raises:
      BadInput: as `load`.
    """
    return sorted(_read(_find(recipe)).get("profiles") or {})


def recipe_for_shape(shape: tuple[int, int] | None) -> str:
    """Return the recipe that data of this height and width gets when none is named.

    Raises:
      BadInput: if no recipe is the default of that shape.
    """
    if shape is None:
        return DEFAULT_RECIPE
    if shape not in BY_SHAPE:
        raise BadInput(
            "no recipe is the default for this shape",
            where="--data",
            wanted=" or ".join(f"{h}x{w}" for h, w in BY_SHAPE),
            got=f"{shape[0]}x{shape[1]}",
            hint="write a recipe with `data.shape` and name it with --recipe FILE.yaml",
        )
    return BY_SHAPE[shape]


def load_recipe(
    recipe: str,
    *,
    profile: str | None = None,
    overrides: Iterable[str] = (),
    seed: int | None = None,
    strategy: str | None = None,
) -> Settings:
    """Resolve a recipe.

    Args:
      recipe: the name of a recipe of the package, or the path of a YAML file.
      profile: an overlay of the recipe's `profiles`; by default `fast` where there is one.
      overrides: `section.key=value` texts; values are YAML scalars or lists.
      seed: of both trainings, whatever the recipe says of either.
      strategy: the same.

    Raises:
      BadInput: for unknown recipes, profiles and keys (with the known ones) and values out of their bounds, all at once.
    """
    path = _find(recipe)
    values = _read(path)
    profiles = values.pop("profiles", None) or {}
    problems = Problems()
    chosen: Mapping[str, Any] | None = None
    with problems.noted():
        chosen = _profile(profiles, profile, path)
    _overlay(values, chosen or {})
    without = copy.deepcopy(values)
    for override in overrides:
        with problems.noted():
            if chosen is not None:  # the profile that was meant may have the section
                _refuse_part_of_nothing(values, override, path)
            _overlay(values, _parse_override(override))
    for key, value in (("seed", seed), ("strategy", strategy)):
        if value is not None:
            _share(values, key, value)
    if problems.found:
        # What is wrong without the overrides as well may be right with the profile that was meant.
        known: set[str] = set() if chosen is not None else set(map(str, _wrong(without, path)))
        problems.found += [problem for problem in _wrong(values, path) if str(problem) not in known]
    problems.raise_any()
    return _validate(values, path)


def _wrong(values: dict[str, Any], path: Path) -> list[MnistTfxError]:
    problems = Problems()
    with problems.noted():
        _validate(values, path)
    return problems.found


def _share(values: dict[str, Any], key: str, value: object) -> None:
    values[key] = value
    for section in ("autoencoder", "classifier"):
        if isinstance(values.get(section), dict):
            values[section].pop(key, None)


def _refuse_part_of_nothing(values: Mapping[str, Any], override: str, path: Path) -> None:
    # One value of it would bring the whole section back, with defaults that nobody chose.
    section, dot, rest = override.partition("=")[0].partition(".")
    if dot and section in values and values[section] is None:
        raise BadInput(
            f"there is no {section} in the recipe",
            where=f"{path.name}, --set {section}.{rest}",
            hint=f"--set '{section}={{{rest}: ...}}' adds one",
        )


def _find(recipe: str) -> Path:
    if recipe.endswith((".yaml", ".yml")):
        return Path(recipe)
    if recipe not in recipe_names():
        raise BadInput("unknown recipe", where="--recipe", wanted=", ".join(recipe_names()), got=recipe)
    return RECIPES / f"{recipe}.yaml"


def _read(path: Path) -> dict[str, Any]:
    values = read_yaml(path, limit=LARGEST_FILE)
    if not isinstance(values, dict):
        raise BadInput("not a recipe", where=path, wanted="a mapping of sections", got=as_written(values))
    profiles = values.get("profiles")
    if profiles is not None and not isinstance(profiles, dict):
        raise BadInput("profiles", where=path, wanted="overlays by name", got=as_written(profiles))
    for name, overlay in (profiles or {}).items():
        if overlay is not None and not isinstance(overlay, dict):
            raise BadInput(f"profiles.{name}", where=path, wanted="a mapping of sections", got=as_written(overlay))
    return values


def _profile(profiles: Mapping[str, Any], name: str | None, path: Path) -> Mapping[str, Any]:
    if name is None:
        return profiles.get(DEFAULT_PROFILE) or {}
    if name not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        hint = did_you_mean(closest(name, profiles, str.lower))
        raise BadInput("unknown profile", where=path.name, wanted=known, got=name, hint=hint)
    return profiles[name] or {}


def _overlay(values: dict[str, Any], overlay: Mapping[str, Any]) -> None:
    for key, value in overlay.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _overlay(values[key], value)
        else:
            values[key] = value


def _parse_override(override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise BadInput("not an override", where="--set", wanted="section.key=value", got=override)
    value = parse_yaml(text, where=f"--set {key}")
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return dict(nested)


def _validate(values: dict[str, Any], path: Path) -> Settings:
    try:
        # Strict: `epochs: true` is no 1, and `batch: "128"` no number.
        return Settings.model_validate(_with_tuples(values), strict=True)
    except ValidationError as err:
        raise refusal(Settings, values, err.errors(), where=path.name, beside=("profiles",)) from err


def _with_tuples(values: Any) -> Any:
    """Return YAML values with lists as strict validation wants them."""
    if isinstance(values, dict):
        return {key: _with_tuples(value) for key, value in values.items()}
    return tuple(map(_with_tuples, values)) if isinstance(values, list) else values
