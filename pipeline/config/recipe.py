"""Recipes: name or YAML file, profile and overrides, validated as `Settings`.

A recipe is a mapping with the sections of `components.settings.Settings`, `profiles:`, overlays by name, and perhaps
`extends:`, the recipe that it changes (see `pipeline.config.recipe_file`). The overlay of the chosen profile is applied
first, then `--set key=value`, then `--seed` and `--strategy`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from components.errors import BadInput, MnistTfxError, Problems
from components.settings import Settings
from components.suggestions import closest, did_you_mean
from components.untrusted import parse_yaml
from components.wording import refusal
from pipeline.config.recipe_file import EXTENDS, PROFILES, Chain, overlay, read_chain

DEFAULT_PROFILE: Final = "fast"
DEFAULT_RECIPE: Final = "digits"

BY_SHAPE: Final = {(8, 8): "digits", (28, 28): "mnist"}


def profile_names(recipe: str) -> list[str]:
    """Return the names of a recipe's profiles and of those that it inherits, sorted.

    Raises:
      BadInput: as `load`.
    """
    return read_chain(recipe).profiles


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


def load_recipe(  # noqa: PLR0913  # what changes a recipe
    recipe: str,
    *,
    profile: str | None = None,
    overrides: Iterable[str] = (),
    seed: int | None = None,
    strategy: str | None = None,
    exclude: Sequence[str] = (),
) -> Settings:
    """Resolve a recipe.

    Args:
      recipe: the name of a recipe of the package, or the path of a YAML file.
      profile: an overlay of the recipe's `profiles`; by default `fast` where there is one.
      overrides: `section.key=value` texts; values are YAML scalars or lists.
      seed: of both trainings, whatever the recipe says of either.
      strategy: the same.
      exclude: digests of rows to leave out, beside those that the recipe leaves out.

    Raises:
      BadInput: for unknown recipes, profiles and keys (with the known ones) and values out of their bounds, all at once.
    """
    chain = read_chain(recipe)
    problems = Problems()
    chosen: str | None = None
    is_chosen = False
    with problems.noted():
        chosen = chosen_profile(chain, profile)
        is_chosen = True
    values = chain.values(chosen)
    without = copy.deepcopy(values)
    for override in overrides:
        with problems.noted():
            if is_chosen:  # the profile that was meant may have the section
                _refuse_part_of_nothing(values, override, chain)
            overlay(values, _parse_override(override))
    for key, value in (("seed", seed), ("strategy", strategy)):
        if value is not None:
            _share(values, key, value)
    _leave_out(values, exclude)
    if problems.found:
        # What is wrong without the overrides as well may be right with the profile that was meant.
        known: set[str] = set() if is_chosen else set(map(str, _wrong(without, chain)))
        problems.found += [problem for problem in _wrong(values, chain) if str(problem) not in known]
    problems.raise_any()
    return validate(values, where=chain.where)


def _wrong(values: dict[str, Any], chain: Chain) -> list[MnistTfxError]:
    problems = Problems()
    with problems.noted():
        validate(values, where=chain.where)
    return problems.found


def _share(values: dict[str, Any], key: str, value: object) -> None:
    values[key] = value
    for section in ("autoencoder", "classifier"):
        if isinstance(values.get(section), dict):
            values[section].pop(key, None)


def _leave_out(values: dict[str, Any], digests: Sequence[str]) -> None:
    data = values.get("data")
    if digests and isinstance(data, dict):
        known = data.get("exclude")
        data["exclude"] = [*(known if isinstance(known, list | tuple) else ()), *digests]


def _refuse_part_of_nothing(values: Mapping[str, Any], override: str, chain: Chain) -> None:
    # One value of it would bring the whole section back, with defaults that nobody chose.
    section, dot, rest = override.partition("=")[0].partition(".")
    if dot and section in values and values[section] is None:
        raise BadInput(
            f"there is no {section} in the recipe",
            where=f"{chain.where}, --set {section}.{rest}",
            hint=f"--set '{section}={{{rest}: ...}}' adds one",
        )


def chosen_profile(chain: Chain, name: str | None) -> str | None:
    """Return the name of the profile to put over a recipe; None for one without a default.

    Raises:
      BadInput: if the recipe has no profile of this name.
    """
    known = chain.profiles
    if name is None:
        return DEFAULT_PROFILE if DEFAULT_PROFILE in known else None
    if name not in known:
        hint = did_you_mean(closest(name, known, str.lower))
        raise BadInput("unknown profile", where=chain.where, wanted=", ".join(known) or "none", got=name, hint=hint)
    return name


def _parse_override(override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise BadInput("not an override", where="--set", wanted="section.key=value", got=override)
    value = parse_yaml(text, where=f"--set {key}")
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return dict(nested)


def validate(values: dict[str, Any], *, where: str) -> Settings:
    """Return the settings of a recipe's values, without its profiles.

    Raises:
      BadInput: with all that is wrong.
    """
    try:
        # Strict: `epochs: true` is no 1, and `batch: "128"` no number.
        return Settings.model_validate(_with_tuples(values), strict=True)
    except ValidationError as err:
        raise refusal(Settings, values, err.errors(), where=where, beside=(EXTENDS, PROFILES)) from err


def _with_tuples(values: Any) -> Any:
    """Return YAML values with lists as strict validation wants them."""
    if isinstance(values, dict):
        return {key: _with_tuples(value) for key, value in values.items()}
    return tuple(map(_with_tuples, values)) if isinstance(values, list) else values
