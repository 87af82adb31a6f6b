"""Lists of rows that are left out: how they are read, where they go, and what is stated of the data beside."""

import json

import pytest

from components.errors import BadInput
from components.settings import MOST_EXCLUDED, DataSettings
from pipeline.config.exclusions import exclusions_text, read_exclusions
from pipeline.config.pipeline_config import PipelineConfig
from pipeline.config.recipe import load_recipe
from pipeline.runner.up_to_date import sections
from pipeline.stages import INGEST, TRANSFORM

ONE, TWO = "1" * 64, "2" * 64


def listed(tmp_path, text):
    path = tmp_path / "exclude.txt"
    path.write_bytes(text.encode())
    return path


def test_a_list_has_a_digest_to_a_line_and_remarks(tmp_path):
    letters = "ab" * 32
    text = f"# asked by letter\n{letters.upper()}\n\n  {ONE}  # the second one\r\n{letters}\n"
    assert read_exclusions(listed(tmp_path, text)) == (ONE, letters)


def test_what_is_written_is_read_again_and_each_digest_once(tmp_path):
    text = exclusions_text(["asked about a.png"], {"for a.png": [TWO], "left out before": [ONE, TWO], "none": []})
    assert text.splitlines() == ["# asked about a.png", "# for a.png", TWO, "# left out before", ONE]
    assert read_exclusions(listed(tmp_path, text)) == (ONE, TWO)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n", r"exclude\.txt: no row digest in it"),
        (f"{ONE}\nabc\n", r"exclude\.txt line 2: not a row digest: wanted 64 hex digits, got abc"),
        ("\n".join(f"{n:064x}" for n in range(MOST_EXCLUDED + 1)), "too many rows"),
    ],
)
def test_what_is_no_list_is_refused_with_the_line(tmp_path, text, message):
    with pytest.raises(BadInput, match=message):
        read_exclusions(listed(tmp_path, text))


def test_a_list_adds_to_what_the_recipe_leaves_out():
    overrides = [f"data.exclude=['{TWO}']"]
    assert load_recipe("digits", overrides=overrides, exclude=[ONE, TWO]).data.exclude == (ONE, TWO)


def test_a_digest_in_a_recipe_is_checked_as_every_value_is():
    with pytest.raises(BadInput, match=r"data\.exclude"):
        load_recipe("digits", overrides=["data.exclude=['abc']"])


def test_the_order_of_a_list_changes_nothing_and_no_list_is_as_before():
    plain = load_recipe("digits").data
    assert "exclude" not in json.loads(plain.to_json())
    one, other = (load_recipe("digits", exclude=digests).data.to_json() for digests in ([ONE, TWO], [TWO, ONE]))
    assert one == other != plain.to_json()
    assert DataSettings.from_json(one).exclude == (ONE, TWO)


def test_ingest_alone_is_given_the_list_and_nobody_what_is_stated_of_the_data():
    stated = ["data.source=UCI", "data.licence='CC BY 4.0'"]
    settings, plain = load_recipe("digits", overrides=stated, exclude=[ONE]), load_recipe("digits")
    assert settings.model_dump()["data"]["licence"] == "CC BY 4.0"
    of_ingest = sections(settings)[INGEST]
    assert of_ingest["exclude"] == [ONE]
    assert not {"source", "licence"} & of_ingest.keys()
    assert sections(settings)[TRANSFORM] == sections(plain)[TRANSFORM]
    given = [config_of(one).data for one in (settings, plain)]
    assert given[0] == given[1]


def config_of(settings):
    fields = {"paths": None, "form": "idx", "source": "[]", "schema_digest": "", "schema_folder": None}
    return PipelineConfig(settings=settings, code={}, lock_digest="", **fields)
