"""A pattern -> the newest spans: TFX's fields, numbers and dates, and everything that is refused."""

import datetime
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import BadInput, EnvironmentProblem
from components.ingest import idx, source
from components.ingest.discovery import discover_spans
from components.ingest.spans import EPOCH, MAX_SPAN, Span, base_of, is_pattern, newest, resolve
from components.settings import DataSettings, HashSplit
from pipeline.config.request import Request, settings_and_paths
from pipeline.provenance.records import node_key


@pytest.fixture
def folders(tmp_path):
    def folders(*names):
        for name in names:
            (tmp_path / name).mkdir(parents=True)
        return tmp_path

    return folders


def told(spans):
    return [(span.number, span.name) for span in spans]


def test_the_newest_span_is_the_highest_number_not_the_last_name(folders):
    where = folders("span-9", "span-10", "span-2")
    assert told(newest(f"{where}/span-{{SPAN}}/")) == [(10, "span-10")]


def test_a_range_is_the_newest_spans_oldest_first_and_no_more_than_there_are(folders):
    where = folders("span-7", "span-10", "span-3")
    assert told(newest(f"{where}/span-{{SPAN}}", 2)) == [(7, "span-7"), (10, "span-10")]
    assert [number for number, _ in told(newest(f"{where}/span-{{SPAN}}", 9))] == [3, 7, 10]


def test_a_span_is_a_file_where_the_pattern_stands_for_files(tmp_path):
    (tmp_path / "rows-5.csv").write_text("1,0\n")
    [span] = newest(f"{tmp_path}/rows-{{SPAN}}.csv")
    assert span == Span(number=5, name="rows-5.csv", folder=tmp_path / "rows-5.csv")
    assert span.name_of(span.folder) == "rows-5.csv"


def test_numbers_may_be_padded_and_a_width_wants_exactly_so_many_digits(folders):
    where = folders("span-0007", "span-012", "span-00099")
    assert told(newest(f"{where}/span-{{SPAN}}", 3)) == [(7, "span-0007"), (12, "span-012"), (99, "span-00099")]
    assert told(newest(f"{where}/span-{{SPAN:4}}", 3)) == [(7, "span-0007")]
    assert told(newest(f"{where}/span-{{SPAN:04}}")) == [(7, "span-0007")]


@pytest.mark.parametrize("pattern", ["{YYYY}/{MM}/{DD}", "{YYYY}{MM}{DD}", "d-{DD}.{MM}.{YYYY}/data"])
def test_dates_are_days_since_1970_wherever_their_fields_stand(folders, pattern):
    days = [datetime.date(2026, 1, 31), datetime.date(1970, 1, 2), datetime.date(2025, 12, 5)]
    names = [pattern.format(YYYY=f"{day:%Y}", MM=f"{day:%m}", DD=f"{day:%d}") for day in days]
    found = newest(f"{folders(*names)}/{pattern}", 3)
    assert told(found) == [(1, names[1]), ((days[2] - EPOCH).days, names[2]), ((days[0] - EPOCH).days, names[0])]


def test_what_only_looks_like_a_span_is_none(folders):
    where = folders("span-1", "span-2.tmp", "span-", "span--3", "span-+4", "span-\u0665", "xspan-6", "span-1e9")
    assert told(newest(f"{where}/span-{{SPAN}}", 9)) == [(1, "span-1")]


def test_other_characters_of_a_pattern_stand_for_themselves(folders):
    where = folders("s.1*", "sx22", "s.22")
    assert told(newest(f"{where}/s.{{SPAN}}*")) == [(1, "s.1*")]


def test_names_below_the_field_are_not_looked_for_among_older_spans(folders):
    where = folders("1/data", "2")
    [span] = newest(f"{where}/{{SPAN}}/data")
    assert span.name == "2/data"
    with pytest.raises(BadInput, match="2/data: no such file or folder"):
        discover_spans([span])


@given(number=st.integers(0, MAX_SPAN), padding=st.integers(0, 30))
def test_any_number_is_found_again_however_it_is_padded(number, padding):
    name = f"span-{number:0{padding}d}"
    with tempfile.TemporaryDirectory() as where:
        (Path(where) / name).mkdir()
        assert told(newest(f"{where}/span-{{SPAN}}")) == [(number, name)]


@given(numbers=st.sets(st.integers(0, 10**6), min_size=1, max_size=6), count=st.integers(1, 8))
def test_a_range_is_what_sorting_the_numbers_gives(numbers, count):
    with tempfile.TemporaryDirectory() as where:
        for number in numbers:
            (Path(where) / f"{number}").mkdir()
        assert [span.number for span in newest(f"{where}/{{SPAN}}", count)] == sorted(numbers)[-count:]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("span-{SPAM}", "unknown field: wanted {SPAN}, .* got {SPAM}"),
        ("span-{span}", "unknown field"),
        ("span-{SPAN:x}", "unknown field"),
        ("span-{SPAN:0}", "unknown field"),
        ("span-{SPAN:-2}", "unknown field"),
        ("span-{SPAN}/v-{VERSION}", "got {VERSION}"),
        ("span-{SPAN", "unknown field"),
        ("{SPAN}}", "got }"),
        ("{{SPAN}}", "unknown field"),
        ("{SPAN}-{SPAN}", "fields do not make one span"),
        ("{SPAN}/{YYYY}{MM}{DD}", "fields do not make one span"),
        ("{YYYY}-{MM}", "wanted .*, got {YYYY}, {MM}"),
        ("{YYYY}{MM}{DD}{DD}", "fields do not make one span"),
    ],
)
def test_a_malformed_pattern_is_refused(folders, pattern, message):
    where = folders("span-1")
    assert is_pattern(f"{where}/{pattern}")
    with pytest.raises(BadInput, match=message):
        newest(f"{where}/{pattern}")


def test_two_folders_with_one_number_are_refused_by_their_names(folders):
    where = folders("span-1", "span-01", "span-2")
    with pytest.raises(BadInput, match="two spans have the number 1: got span-01 and span-1"):
        newest(f"{where}/span-{{SPAN}}")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("spam-1", "x"), "span-{SPAN}: no span matches: wanted span-{SPAN}, got spam-1, x"),
        ((), "got an empty folder"),
        (tuple("abcdefg"), "got a, b, c, d, e and 2 more"),
    ],
)
def test_a_pattern_that_matches_nothing_says_what_lies_there(folders, names, message):
    with pytest.raises(BadInput, match=message):
        newest(f"{folders(*names)}/span-{{SPAN}}")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(BadInput, match="got no such folder"):
        newest(f"{tmp_path}/nowhere/span-{{SPAN}}")


@pytest.mark.parametrize("name", ["20260230", "20261301", "00000101"])
def test_a_day_that_does_not_exist_is_refused(folders, name):
    where = folders(name, "20260101")
    with pytest.raises(BadInput, match=f"{name}: not a date"):
        newest(f"{where}/{{YYYY}}{{MM}}{{DD}}")


def test_a_number_that_metadata_cannot_hold_is_refused(folders):
    where = folders(f"span-{MAX_SPAN + 1}")
    with pytest.raises(BadInput, match="span number is too large"):
        newest(f"{where}/span-{{SPAN}}")


@pytest.mark.parametrize("count", [0, -1])
def test_less_than_one_span_is_refused(folders, count):
    with pytest.raises(BadInput, match="wanted 1 or more"):
        newest(f"{folders('1')}/{{SPAN}}", count)


def test_a_folder_that_cannot_be_listed_is_the_machines_fault(tmp_path, monkeypatch):
    def denied(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.listdir", denied)
    with pytest.raises(EnvironmentProblem, match="folder cannot be read"):
        newest(f"{tmp_path}/{{SPAN}}")


def test_a_plain_path_has_no_spans_even_with_braces_in_its_name(folders):
    where = folders("a{b}")
    assert resolve(str(where)) == resolve(f"{where}/a{{b}}") == ()
    with pytest.raises(BadInput, match="not a pattern of spans"):
        resolve(str(where), 2)


def test_the_base_of_a_pattern_is_the_longest_folder_without_a_field():
    assert base_of("/d/e/s-{SPAN}/f") == Path("/d/e")
    assert base_of("{SPAN}") == Path()


def write_span(folder, *, rows=20, seed=0, test=False):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for part in ("train", *(("t10k",) if test else ())):
        idx.write_images(folder / f"{part}-images-idx3-ubyte", rng.integers(0, 17, (rows, 8, 8), dtype=np.uint8))
        idx.write_labels(folder / f"{part}-labels-idx1-ubyte", rng.integers(0, 10, rows))


def asked(where, spans=1, **others):
    return Request(data=(Path(f"{where}/span-{{SPAN}}"),), spans=spans, **others)


def resolved(files, root):
    given = {
        "source": source.parts_to_json(files.parts),
        "form": files.form,
        "settings": DataSettings(shape=(8, 8), pixel_max=16, split=HashSplit()).to_json(),
    }
    return source.resolve(given, root)


def test_a_request_for_spans_finds_the_files_of_all_of_them(tmp_path):
    for number in (1, 2, 3):
        write_span(tmp_path / f"span-{number}", seed=number, test=number == 2)
    settings, _, files = settings_and_paths(asked(tmp_path, 2))
    assert settings.name == "digits"
    assert [(part.split, part.span.number) for part in files.parts] == [("train", 2), ("train", 3), ("test", 2)]
    assert [span.name for span in files.spans] == ["span-2", "span-3"]


def test_the_number_of_the_newest_span_goes_into_the_execution_properties_and_stays_there(tmp_path):
    for number in (4, 11):
        write_span(tmp_path / f"span-{number}", seed=number)
    properties = resolved(settings_and_paths(asked(tmp_path, 2))[2], tmp_path / "root")
    assert properties["span"] == 11
    assert "span" not in properties["source"]
    assert source.resolve(properties, tmp_path / "root") == properties


def test_the_same_bytes_under_another_number_are_the_same_input(tmp_path):
    keys, found = set(), []
    for number in (3, 4):
        write_span(tmp_path / f"span-{number}", seed=7)
        found.append(resolved(settings_and_paths(asked(tmp_path))[2], tmp_path / "root"))
        keys.add(node_key("ExampleGen", "x.Executor", found[-1], {}))
    assert [properties.pop("span") for properties in found] == [3, 4]
    assert found[0] == found[1]
    assert len(keys) == 1


def test_the_files_of_spans_go_by_their_span_in_records(tmp_path):
    for number in (1, 2):
        write_span(tmp_path / f"span-{number}", seed=number)
    parts = json.loads(source.parts_to_json(settings_and_paths(asked(tmp_path, 2))[2].parts))
    assert [part["names"][0] for part in parts] == ["span-1/train-images-idx3-ubyte", "span-2/train-images-idx3-ubyte"]


@pytest.mark.parametrize("spoil", ["empty", "without labels", "a file", "a dead link"])
def test_a_newest_span_that_cannot_be_read_is_refused_not_skipped(tmp_path, spoil):
    write_span(tmp_path / "span-1")
    newest_span = tmp_path / "span-2"
    if spoil == "empty":
        newest_span.mkdir()
    elif spoil == "without labels":
        write_span(newest_span)
        (newest_span / "train-labels-idx1-ubyte").unlink()
    elif spoil == "a file":
        newest_span.write_bytes(b"")
    else:
        newest_span.symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="span-2"):
        resolved(settings_and_paths(asked(tmp_path))[2], tmp_path / "root")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(data=(Path("a-{SPAN}"), Path("b-{SPAN}"))), "a pattern of spans goes alone"),
        (Request(data=(Path("a"),), spans=2), "--spans goes with a pattern: wanted a path with {SPAN}"),
        (Request(spans=2), "got no data at all"),
    ],
)
def test_spans_and_plain_data_do_not_mix(request_, message):
    with pytest.raises(BadInput, match=message):
        settings_and_paths(request_)
