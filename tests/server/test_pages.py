"""The pages about runs and versions, without a browser, a server or a model."""

import html
import re
import shutil
import time
import types

import pytest
from server import many_runs

from pipeline.provenance import at_work
from pipeline.root.paths import RunPaths

HOSTILE = "<script>window.ran = 1</script>\"'&amp;{{ 7 * 7 }}"
REFUSAL = {"kind": "Refused", "what": HOSTILE, "where": "Evaluator"}


@pytest.fixture(scope="module")
def many(first_run, tmp_path_factory):
    """A root with 200 runs: every second one was pushed, the others were refused."""
    root = many_runs.history_only(first_run[0], tmp_path_factory.mktemp("many"))
    for number in range(2, 201):
        pushed = number % 2 == 0
        accuracy = {"metrics": {**many_runs.runs(root)[0].metrics, "accuracy": number / 200}} if number < 10 else {}
        changes = accuracy if pushed else {"status": "refused", "error": REFUSAL, "recipe": HOSTILE}
        many_runs.add_run(root, number, push=pushed, **changes)
    return root


@pytest.fixture(scope="module")
def client(many):
    return many_runs.pages(many)


@pytest.fixture
def root(first_run, tmp_path):
    return many_runs.history_only(first_run[0], tmp_path)


def rows(page):
    """Return the text of each row of the table of runs."""
    found = re.findall(r"<tr>\s*<td class=\"tick\">(.*?)</tr>", page.text, re.DOTALL)
    return [html.unescape(" ".join(re.sub(r"<[^>]+>", " ", one).split())) for one in found]


def test_a_root_with_200_runs_is_answered_within_a_second(many):
    client, started = many_runs.pages(many), time.process_time()
    assert client.get("/").status_code == 200
    assert time.process_time() - started < 1.0


def test_each_run_has_its_state_version_data_and_what_changed(client):
    newest, before, *_ = rows(client.get("/"))
    assert "served" in newest
    assert "200 0000" in newest
    assert "not verified yet" in newest
    assert "2027" in newest
    assert newest.endswith("now")
    assert "refused" in before
    assert "nothing" in before


def test_an_accuracy_has_its_interval(root):
    (row,) = rows(many_runs.pages(root).get("/"))
    assert re.search(r"0\.98\d\d 0\.9[67]\d\d to 0\.99\d\d, 402 rows", row)


def test_what_was_recorded_is_text_and_never_markup(client):
    page = client.get("/").text
    assert HOSTILE not in page
    assert html.escape(HOSTILE).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("sort=accuracy&order=ascending", "0.0100"),
        ("sort=version&order=ascending", " 1 "),
        ("sort=state&order=ascending", "missing"),
    ],
)
def test_it_is_sorted_by_links_that_say_so(client, query, first):
    page = client.get(f"/?{query}")
    assert first in rows(page)[0] or query.startswith("sort=state")
    assert page.text.count('aria-sort="ascending"') == 1


def test_it_is_filtered_by_state_and_by_text_and_paged(client):
    refused = client.get("/?state=refused")
    assert len(rows(refused)) == 50
    assert all("refused" in row for row in rows(refused))
    last = client.get("/?state=refused&page=2")
    assert len(rows(last)) == 49
    assert 'rel="prev"' in last.text
    assert 'rel="next"' not in last.text
    assert [row.split()[3] for row in rows(client.get("/?text=version+84"))]
    assert rows(client.get("/?text=nothing+has+this")) == []


@pytest.mark.parametrize(
    "query", ["sort=__class__", "page=-1", "page=99999999999", "order=%00", "state=%F0%9F", "text=" + "x" * 9999]
)
def test_an_address_that_makes_no_sense_is_answered_all_the_same(client, query):
    assert client.get(f"/?{query}").status_code == 200


def test_a_run_at_work_says_what_it_does_and_the_page_can_follow_it(root):
    client = many_runs.pages(root)
    before = client.get("/live.json").json()
    with at_work.announced(RunPaths(root), "20990101T000000.000000Z", "digits") as announcement:
        announcement.phase("Classifier, epoch 3/8")
        page, live = client.get("/"), client.get("/live.json").json()
    assert "running Classifier, epoch 3/8" in rows(page)[0]
    assert live["running"] == [{"run_id": "20990101T000000.000000Z", "phase": "Classifier, epoch 3/8"}]
    assert live["state"] != before["state"]
    assert client.get("/live.json").json() == before


def test_a_version_that_the_server_refused_is_red_with_its_reason(root):
    refused = types.SimpleNamespace(message=f"is not what was pushed {HOSTILE}")
    page = many_runs.pages(root, {1: refused}).get("/")
    assert f"refused: is not what was pushed {HOSTILE}" in rows(page)[0]
    assert '<span class="bad">refused: is not' in page.text


@pytest.mark.parametrize("damage", ["edit", "cut"])
def test_a_root_that_cannot_be_read_says_so_in_a_page(root, damage):
    client, ledger = many_runs.pages(root), root / "ledger.jsonl"
    assert client.get("/").status_code == 200
    data = ledger.read_bytes()
    ledger.write_bytes(data.replace(b'"intent"', b'"intend"', 1) if damage == "edit" else data[100:])
    page = client.get("/")
    assert (page.status_code, "This root cannot be read" in page.text) == (500, True)
    ledger.write_bytes(data)
    assert client.get("/").status_code == 200


def test_a_run_whose_record_is_gone_is_there_and_says_so(root):
    client = many_runs.pages(root)
    assert len(rows(client.get("/"))) == 1
    shutil.rmtree(root / "records")
    fresh = rows(many_runs.pages(root).get("/"))
    assert "unreadable" in fresh[0]
    assert "record is missing" in fresh[0]


def test_an_address_that_leads_nowhere_is_a_page_too(client):
    page = client.get(f"/nowhere/{HOSTILE}")
    assert page.status_code == 404
    assert "there is no such page" in page.text
    assert HOSTILE not in page.text


def test_a_page_asks_the_server_it_came_from_and_nobody_else(client):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', client.get("/").text)[1]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
