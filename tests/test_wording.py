"""Every field of every file that people write, given what it does not take: the answer is in the product's words."""

import copy
import math
import re
import typing

import pytest
import yaml
from command_line import PROJECT

from components import wording
from components.errors import BadInput, SeveralProblems
from components.settings import Settings
from pipeline.audit import policy
from pipeline.config.recipe import load_recipe
from pipeline.config.recipe_file import RECIPES
from pipeline.kubeflow.compiler import cluster

FOREIGN = (
    "Input should be",
    "Field required",
    "type=",
    "a valid ",
    "pydantic",
    "Extra inputs",
    "constrained-str",
    "Error",
)
WRONG = [None, True, -1, 0, 1.5, 10**30, math.inf, math.nan, "x", "", "9" * 5000, "2024-02-31", "on", "\u2028[red]"]
WRONG += [[], ["x", 1, None], [[[1]]], {}, {"nobody": {"knows": 1}}]


def fields(form, path=()):
    """Yields (path, form) of every field of a model, those of sections, list items and mappings in it among them."""
    for name, inner in wording._fields(form).items():
        yield (*path, name), inner
        for member in wording._members(wording._bare(inner)):
            if wording._is_list(member):
                yield from fields(wording._element(member, 0), (*path, name, 0))
            elif wording._is_mapping(member):
                yield (*path, name, "KEY"), typing.get_args(member)[1]
                yield from fields(typing.get_args(member)[1], (*path, name, "KEY"))
            else:
                yield from fields(member, (*path, name))


def placed(values, path, value):
    """Returns `values` with another one at a place, whatever stood on the way to it."""
    values = copy.deepcopy(values)
    at = values
    for step, following in zip(path, [*path[1:], None], strict=True):
        inner = value if following is None else [] if following == 0 else {}
        if step == 0:
            at[:] = [inner] if not at or following is None else at
        elif following is None or not isinstance(at.get(step), type(inner)):
            at[step] = inner
        at = at[step]
    return values


def recipe():
    values = yaml.safe_load((RECIPES / "digits.yaml").read_text())
    values.pop("profiles", None)
    return values


def refused(read, path, values):
    """Returns the lines in which values are refused; none if they are taken."""
    path.write_text(yaml.safe_dump(values, allow_unicode=True))
    try:
        read(path)
    except SeveralProblems as several:
        return [str(problem) for problem in several.problems]
    except BadInput as one:
        return [str(one)]
    return []


FORMS = {
    "recipe": (Settings, recipe, lambda path: load_recipe(str(path))),
    "cluster": (cluster.Cluster, lambda: {"version": 1}, cluster.read),
}
FIELDS = [(kind, path) for kind, (form, _, _) in FORMS.items() for path, _ in fields(form)]


@pytest.mark.parametrize(("kind", "path"), FIELDS, ids=lambda one: ".".join(map(str, one)) if one else None)
def test_whatever_a_field_does_not_take_is_refused_in_our_own_words(kind, path, tmp_path):
    _, base, read = FORMS[kind]
    names = [step for step in path if isinstance(step, str) and step != "KEY"]
    told = [line for value in WRONG for line in refused(read, tmp_path / f"{kind}.yaml", placed(base(), path, value))]
    assert told
    assert not [line for line in told if any(word in line for word in FOREIGN)]
    assert not [line for line in told if not line.isprintable() or len(line) > 1500]
    assert any(names[0] in line for line in told)
    assert len(told) <= len(WRONG) * (wording.MOST_PROBLEMS + 1)


@pytest.mark.parametrize("rule", [*policy.RULES, "nosuch"])
def test_a_level_of_the_policy_that_there_is_not_is_refused_in_our_own_words(rule, tmp_path):
    wrong = [value for value in WRONG if value not in (*policy.LEVELS, False)]
    for value in wrong:
        told = refused(policy.read, tmp_path / "policy.yaml", {"version": 1, "rules": {rule: value}})
        assert told
        assert not [line for line in told if any(word in line for word in FOREIGN) or not line.isprintable()]


def test_all_problems_of_a_recipe_are_told_at_once(tmp_path):
    values = {"version": 1, "data": {"shape": "x", "pixel_max": 0, "lable": 1}, "classifier": {"epochs": "many"}}
    told = refused(lambda path: load_recipe(str(path)), tmp_path / "mine.yaml", values)
    assert len(told) == 6
    assert [line.partition(": ")[2] for line in told] == [
        "name is missing: wanted a name of at most 41 lower case letters, digits and -, a letter first",
        told[1].partition(": ")[2],
        told[2].partition(": ")[2],
        (
            "unknown key data.lable: wanted one of class_names, empty_classes, exclude, ignore_columns, label, label_count, label_offset, licence, pixel_max, shape, "
            "source, split, transpose: did you mean label?"
        ),
        told[4].partition(": ")[2],
        told[5].partition(": ")[2],
    ]
    assert told[1].startswith("mine.yaml: data.shape: wanted [height, width], a list of 2, each a whole number")
    assert told[1].endswith("got 'x'")
    assert told[2].startswith("mine.yaml: data.pixel_max: wanted a whole number from 1 to 255, got 0")
    assert told[4].startswith("mine.yaml: autoencoder is missing: wanted a mapping with")
    assert told[5].startswith("mine.yaml: classifier.epochs: wanted a whole number")


def test_more_problems_than_anybody_reads_are_counted(tmp_path):
    values = {**recipe(), **{f"key{number}": number for number in range(40)}}
    told = refused(lambda path: load_recipe(str(path)), tmp_path / "mine.yaml", values)
    assert told[-1] == "mine.yaml: and 30 more"


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("seed=-1", "digits.yaml: seed: wanted a whole number"),
        ("classifier.optimizer.name=adm", "got 'adm': did you mean adam?"),
        ("classifier.epochs=true", "classifier.epochs: wanted a whole number"),
        ("classifier.batch='128'", "got '128'"),
        ("deterministic=yes", "deterministic: wanted true or false, got 'yes'"),
        ("data.split=[1]", "data.split: wanted tail:N, rows:A,B or a mapping with validation, test, got [1]"),
        ("data.split={test: 2}", "data.split.test: wanted a number from 0 and below 1, got 2"),
        ("data.split={tset: 2}", "unknown key data.split.tset: wanted one of test, validation: did you mean test?"),
        ("classifier.convolutions=[{filters: 8}, {filters: x}]", "classifier.convolutions[1].filters: wanted a whole"),
        ("classifier.convolutions=[8]", "classifier.convolutions[0]: wanted a mapping with filters, kernel"),
        ("transform=3", "transform: wanted a mapping with scaling, got 3"),
        ("data.label=5", "data.label: wanted text"),
        ("profile=1", "unknown key profile: wanted one of autoencoder, .*did you mean profiles"),
    ],
)
def test_a_fault_is_told_once_and_where_it_was_written(override, line):
    with pytest.raises(BadInput) as found:
        load_recipe("digits", overrides=[override])
    assert not isinstance(found.value, SeveralProblems)
    assert line.partition(".*")[0] in str(found.value)
    assert line.rpartition(".*")[2] in str(found.value)


@pytest.mark.parametrize("word", ["on", "no", "2024-01-01", "1:30", "y"])
def test_what_yaml_1_1_makes_another_value_of_stays_the_text_that_it_is(word):
    assert load_recipe("digits", overrides=[f"data.label={word}"]).data.label == word


def test_a_number_in_scientific_notation_is_one():
    assert load_recipe("digits", overrides=["classifier.optimizer.learning_rate=1e-3"]) == load_recipe(
        "digits", overrides=["classifier.optimizer.learning_rate=0.001"]
    )


def test_no_text_for_people_is_parsed_as_markup():
    """Names of files and values of records may hold `[red]` or `[/]`, which would change the text or end the command."""
    made = [line for path in (PROJECT / "pipeline").rglob("*.py") for line in path.read_text().splitlines()]
    makers = [line for line in made if re.search(r"\b(Console|TextColumn)\(", line)]
    assert makers
    assert [line for line in makers if "markup=False" not in line] == []
