"""The documentation: nothing of the command line or of a recipe is missing in it, and nothing shown or linked is wrong."""

import inspect
import re

import click
import pytest
from docs.pages import PROJECT

import pipeline
from docs import faults, pages, reference
from pipeline.cli.main import cli
from pipeline.cli.parameters import OneOf
from pipeline.stages import STAGES

README_LINES = 120
LARGEST_PICTURE = 100_000
COMMANDS = [(path, command) for path, command in reference.commands() if not isinstance(command, click.Group)]
SHOWN = [shown for page in pages.pages() for block in pages.blocks(page) for shown in block.commands()]
OURS = [shown for shown in SHOWN if shown.text.startswith("mnist-tfx ")]

by_page = pytest.mark.parametrize("page", pages.pages(), ids=pages.name)


@pytest.mark.parametrize("path", reference.PAGES, ids=lambda path: path.name)
def test_a_generated_page_is_as_the_code_has_it(path):
    assert path.read_text() == reference.PAGES[path](), "`make reference` writes it again"


@pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=lambda part: " ".join(part) if isinstance(part, tuple) else ""
)
def test_every_command_and_option_is_in_the_reference(path, command):
    text = (reference.FOLDER / "commands.md").read_text()
    _, heading, section = text.partition(f"\n## {' '.join(path)}\n")
    assert heading
    rows = section.partition("\n## ")[0]
    for option in reference.options(command):
        for name in (*option.opts, *option.secondary_opts):
            assert any(line.startswith("| `") and name in line.split("`")[1] for line in rows.splitlines()), name


def test_every_fault_has_a_test_and_every_mark_is_of_a_fault():
    assert sorted(faults.marked()) == list(faults.FAULTS)


def test_every_recipe_key_is_in_the_reference():
    text = (reference.FOLDER / "recipe-keys.md").read_text()
    assert [key for key in reference.recipe_keys() if f"\n| `{key}` | " not in text] == []
    assert "classifier.convolutions.kernel" in reference.recipe_keys()


def test_every_recipe_key_has_a_meaning():
    assert [
        line for line in reference.recipe_keys_page().splitlines() if line.startswith("| `") and "|  |" in line
    ] == []


@by_page
def test_every_link_within_the_project_leads_somewhere(page):
    dead = []
    for target in pages.links(page):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in pages.anchors(there)):
            dead.append(target)
    assert dead == []


@by_page
def test_every_mark_of_a_block_is_known(page):
    for block in pages.blocks(page):
        words = block.info[1:]
        assert set(words) <= pages.MARKS | ({block.file} if block.language not in ("sh", "console") else set()), block


@by_page
def test_commands_stand_in_fenced_blocks(page):
    rest = pages.FENCE.sub("", page.read_text())
    assert re.findall(r"^ {4,}.*\bmnist-tfx .*$", rest, re.MULTILINE) == []


@pytest.mark.parametrize("shown", OURS, ids=lambda shown: f"{shown.page}:{shown.line}")
def test_every_shown_command_is_one_of_the_command_line(shown):
    command, context, rest = cli, click.Context(cli, info_name="mnist-tfx"), shown.arguments
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, command, rest = command.resolve_command(context, rest)
        context = click.Context(command, info_name=name, parent=context)
    # The parser knows options and how many words each takes; paths and numbers stand for the reader's own.
    values, rest, order = command.make_parser(context).parse_args(list(rest))
    assert rest == []
    given = {parameter.name for parameter in order} | {name for name, value in values.items() if value}
    asks = {"--help", "--list", "--delete", "--beam-option"} & set(shown.arguments)
    missing = {one.name for one in command.get_params(context) if one.required} - given
    assert asks or missing == set(), shown.text
    for parameter in order:
        if isinstance(parameter.type, (OneOf, click.Choice)) and (value := values[parameter.name]):
            parameter.type(value, param=parameter, ctx=context)


@by_page
def test_a_page_speaks_of_the_project_alone(page):
    text = page.read_text()
    assert "@@" not in text
    assert "TO BE FILLED IN" not in text
    assert not any(place in text for place in (str(PROJECT), str(pages.PROJECT.parent))), page


def test_the_readme_is_short_and_shows_both_pages():
    text = (PROJECT / "README.md").read_text()
    assert len(text.splitlines()) <= README_LINES
    for picture in ("flow.svg", "report.png", "lineage.png"):
        assert f"docs/pictures/{picture}" in text
        assert (PROJECT / "docs" / "pictures" / picture).stat().st_size < LARGEST_PICTURE


def test_every_page_of_the_documents_is_linked_from_their_index():
    index = PROJECT / "docs" / "index.md"
    linked = {(index.parent / target).resolve() for target in pages.links(index)}
    assert sorted(set((PROJECT / "docs").rglob("*.md")) - linked - {index}) == []


def test_the_flow_picture_has_every_stage():
    picture = (PROJECT / "docs" / "pictures" / "flow.svg").read_text()
    assert [stage for stage in STAGES if stage not in picture] == []


def test_the_picture_of_the_architecture_has_the_packages_in_their_order():
    listed = re.findall(r"^    (\w+(?:\.py)?) {2,}", inspect.getdoc(pipeline), re.MULTILINE)
    picture = (PROJECT / "docs" / "pictures" / "architecture.svg").read_text(encoding="utf-8")
    drawn = re.findall(r'font-weight="600">([^<]+)</text>', picture)
    assert drawn == list(reversed(listed))
    there = {path.name for path in (PROJECT / "pipeline").iterdir() if (path / "__init__.py").is_file()}
    assert set(listed) == there | {"stages.py", "pipeline.py"}
