"""`mnist-tfx recipe list|show|check|new`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from components.errors import Problems, printable
from pipeline.cli import options, progress
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import InputData, InputFile, InputFolder, OutputFile, Recipe
from pipeline.cli.parsing import Group

if TYPE_CHECKING:
    from components.settings import ClassifierSettings, Settings

LONG: Final = 100_000
"""Rows from which on progress is shown: fewer take less than a second."""


@click.group(cls=Group)
def recipe() -> None:
    """List, show, check and write recipes: which data, which networks, which floors.

    \b
    Example:
      mnist-tfx recipe list
      mnist-tfx recipe new --from letters/ -o letters.yaml
      mnist-tfx recipe check letters.yaml
    """


@recipe.command("list")
@options.as_json
def list_(as_json: bool) -> None:
    """List the recipes that come along, a line each; `recipe show` has everything.

    \b
    Example:
      mnist-tfx recipe list
    """
    from pipeline.config.recipe import load_recipe, profile_names
    from pipeline.config.recipe_file import recipe_names

    found = [(name, load_recipe(name), profile_names(name)) for name in recipe_names()]
    if as_json:
        recipes = [
            {"name": name, "geometry": settings.data.geometry, "network": network(settings), "profiles": profiles}
            for name, settings, profiles in found
        ]
        print_answer(Answer(data={"recipes": recipes}))
        return
    width = max(len(name) for name, *_ in found)
    for name, settings, profiles in found:
        height, breadth = settings.data.shape
        shown = f"; profiles {', '.join(profiles)}" if profiles else ""
        click.echo(f"{name:<{width}}  {height}x{breadth}  {network(settings)}{shown}")


@recipe.command()
@click.argument("recipe", type=Recipe(), metavar="NAME|FILE")
@options.profile
@options.overrides
@options.as_json
def show(recipe: str, profile: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print a recipe with everything resolved: what it extends, its profile, all defaults.

    The output is a recipe itself, which extends nothing.

    \b
    Example:
      mnist-tfx recipe show mnist
      mnist-tfx recipe show cnn --profile paper > mine.yaml
    """
    import yaml

    from pipeline.config.recipe import chosen_profile, load_recipe
    from pipeline.config.recipe_file import read_chain

    settings = load_recipe(recipe, profile=profile, overrides=overrides)
    chain = read_chain(recipe)
    chosen = chosen_profile(chain, profile)
    values = settings.model_dump(mode="json")
    if as_json:
        data = {"recipe": values, "chain": list(chain.names), "profile": chosen, "profiles": chain.profiles}
        print_answer(Answer(data=data))
        return
    heading = [" extends ".join(chain.names), f"profile {chosen}" if chosen else "no profile", *overrides]
    click.echo(f"# {printable('; '.join(heading))}")
    click.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120), nl=False)


@recipe.command()
@click.argument("file", type=InputFile(), metavar="FILE")
@click.option("--schema", type=InputFolder(), metavar="FOLDER", help="Folder with your reviewed schemas.")
@options.as_json
def check(file: Path, schema: Path | None, as_json: bool) -> None:
    """Check a recipe in all its profiles, and say everything that is wrong at once (exit code 2).

    \b
    Example:
      mnist-tfx recipe check letters.yaml
    """
    from pipeline.config.recipe import load_recipe
    from pipeline.config.recipe_file import read_chain
    from pipeline.provenance import own_code

    chain = read_chain(str(file))
    problems = Problems()
    found: dict[str | None, Settings] = {}
    profiles: list[str | None] = [*chain.profiles] or [None]
    for profile in profiles:
        with problems.noted():
            found[profile] = load_recipe(str(file), profile=profile)
            own_code.check(found[profile], chain.folders)
    problems.raise_any()
    settings = next(iter(found.values()))
    reviewed = _reviewed(settings, schema)
    data = {
        "file": str(file),
        "name": settings.name,
        "geometry": settings.data.geometry,
        "chain": list(chain.names),
        "profiles": chain.profiles,
        "schema": None if reviewed is None else str(reviewed),
    }
    if as_json:
        print_answer(Answer(data=data))
        return
    for line in _checked_lines(settings, data):
        click.echo(printable(line))


@recipe.command()
@click.option("--from", "data", required=True, type=InputData(), metavar="PATH", help="Folder or file with the data.")
@click.option("-o", "--output", required=True, type=OutputFile(), metavar="FILE", help="The recipe: a new .yaml file.")
@options.form_and_label
@options.reading
@click.option("--schema", type=InputFolder(), metavar="FOLDER", help="Folder with your reviewed schemas.")
@options.as_json
def new(data: Path, output: Path, schema: Path | None, as_json: bool, **given: Any) -> None:
    """Write a commented recipe for a data set: its form, a small network, and floors that its size can bear.

    All rows are read. It takes the options of `run` that say how, and the recipe holds them from then on. A file that is
    there is never overwritten. The next commands are printed.

    \b
    Example:
      mnist-tfx recipe new --from letters/ -o letters.yaml
    """
    from pipeline.config import recipe_draft
    from pipeline.datasets import inspection, next_commands
    from pipeline.datasets.readings import Given

    recipe_draft.require_new(output)
    with progress.bars(LONG) as watched:
        found = inspection.inspect(data, Given.of(given), schema=schema, show=watched)
    recipe_draft.write(found, output)
    place = str(output.relative_to(Path.cwd()) if output.is_relative_to(Path.cwd()) else output)
    commands = next_commands.with_recipe(found, shlex.quote(place), schema)
    if as_json:
        print_answer(Answer(data={"file": str(output), "notes": list(found.notes), "commands": list(commands)}))
        return
    for line in (f"wrote    {place}", *(f"note     {note}" for note in found.notes), "next", *_indented(commands)):
        click.echo(printable(line))


def network(settings: Settings) -> str:
    """Return the networks of a recipe in a few words."""
    classifier = _classifier(settings.classifier)
    if settings.autoencoder is None:
        return f"no autoencoder, classifier {classifier}"
    widths = "-".join(map(str, (*settings.autoencoder.layers, settings.autoencoder.latent)))
    return f"autoencoder {settings.autoencoder.build or widths}, classifier {classifier}"


def _classifier(settings: ClassifierSettings) -> str:
    if settings.build is not None:
        return settings.build
    convolutions = [f"{one.kernel}x{one.kernel}x{one.filters}" for one in settings.convolutions]
    return "-".join((*convolutions, *map(str, settings.layers))) or "linear"


def _reviewed(settings: Settings, folder: Path | None) -> Path | None:
    from components.errors import BadInput
    from components.schema_files import find_reviewed

    try:
        return find_reviewed(settings.data.geometry, folder).schema
    except BadInput:
        return None


def _checked_lines(settings: Settings, data: dict[str, Any]) -> Iterator[str]:
    yield f"recipe    {' extends '.join(data['chain'])}"
    yield f"name      {data['name']}"
    yield f"data      {data['geometry']}"
    yield f"network   {network(settings)}"
    yield f"profiles  {', '.join(data['profiles']) or 'none'}"
    none = "none is reviewed for this geometry: `mnist-tfx schema propose --data PATH --recipe FILE` makes a draft"
    yield f"schema    {data['schema'] or none}"


def _indented(commands: tuple[str, ...]) -> Iterator[str]:
    return (f"  {command}" for command in commands)
