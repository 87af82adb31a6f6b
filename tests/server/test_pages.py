"""The pages about runs and versions, without a browser, a server or a model."""

import html
import json
import re
import shutil
import time
import types

import pytest
from server import many_runs

from pipeline.lineage.history import HistoryReader
from pipeline.predict import samples
from pipeline.predict.monitor import Monitoring
from pipeline.provenance import at_work, keys
from pipeline.provenance.approval_writer import Person, add_key, approve
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.runs import runs
from pipeline.root.paths import RunPaths

HOSTILE = "<script>window.ran = 1</script>\"'&amp;{{ 7 * 7 }}"
REFUSAL = {"kind": "Refused", "what": HOSTILE, "where": "Evaluator"}


@pytest.fixture(scope="module")
def many(first_run, tmp_path_factory):
    """A root with 200 runs: every second one was pushed, the others were refused."""
    root = many_runs.history_only(first_run[0], tmp_path_factory.mktemp("many"))
    for number in range(2, 201):
        pushed = number % 2 == 0
        accuracy = {"metrics": {**runs(root)[0].metrics, "accuracy": number / 200}} if number < 10 else {}
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


@pytest.mark.fault(37)
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


OWN = {"origin": "http://127.0.0.1:8501"}


@pytest.fixture(scope="module")
def whole(first_run):
    """Pages of a root with everything in it, which no test may change."""
    return many_runs.pages(first_run[0])


def words(page):
    """Return the text of a page."""
    return html.unescape(" ".join(re.sub(r"<(style|script)>.*?</\1>|<[^>]+>", " ", page.text, flags=re.DOTALL).split()))


def test_the_page_of_a_run_has_its_steps_data_log_and_report(whole, first_run):
    (record,) = runs(first_run[0])
    page = whole.get(f"/runs/{record.run_id}")
    shown = words(page)
    assert all(f"{node.id} {node.state}" in shown for node in record.nodes)
    assert all(source.payload_digest in shown for source in record.sources)
    assert f'href="/runs/{record.run_id}/report"' in page.text
    log = whole.get(f"/runs/{record.run_id}/log")
    assert log.headers["content-type"].startswith("text/plain")
    assert log.content == RunPaths(first_run[0]).log(record.run_id).read_bytes()


def test_the_link_of_a_report_to_the_lineage_beside_it_leads_to_the_page_of_the_version(whole, first_run):
    run_id = first_run[1].json["run_id"]
    answer = whole.get(f"/runs/{run_id}.lineage.html", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/versions/1")


def test_a_report_is_shown_as_it_is_and_runs_nothing(root):
    (record,) = runs(root)
    RunPaths(root).report(record.run_id).write_text(HOSTILE)
    report = many_runs.pages(root).get(f"/runs/{record.run_id}/report")
    assert report.text == HOSTILE
    assert report.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


def test_a_long_log_is_cut_on_the_page_and_whole_behind_the_link(root):
    (record,) = runs(root)
    RunPaths(root).log(record.run_id).write_text("".join(f"{HOSTILE} {n}\n" for n in range(5000)))
    client = many_runs.pages(root)
    page = client.get(f"/runs/{record.run_id}")
    assert HOSTILE not in page.text
    assert f"{HOSTILE} 4999" in words(page)
    assert f"{HOSTILE} 1 " not in words(page)
    assert "The end of" in words(page)
    assert client.get(f"/runs/{record.run_id}/log").text.count("\n") == 5000


def test_a_log_that_is_a_link_is_not_followed(root, tmp_path):
    (record,) = runs(root)
    (secret := tmp_path / "secret").write_text("secret")
    (log := RunPaths(root).log(record.run_id)).unlink()
    log.symlink_to(secret)
    client = many_runs.pages(root)
    assert client.get(f"/runs/{record.run_id}/log").status_code == 404
    assert "secret" not in client.get(f"/runs/{record.run_id}").text


@pytest.mark.parametrize(
    "path",
    [
        "/runs/nobody",
        "/runs/../ledger.jsonl/log",
        "/runs/..%2F..%2Fledger.jsonl/log",
        "/versions/7",
        f"/versions/{'9' * 400}",
        "/versions/1/evidence.exe",
        "/affected/ledger.jsonl",
        "/affected/%2Fetc%2Fpasswd",
    ],
)
def test_what_is_not_there_is_said_in_a_page(whole, path):
    page = whole.get(path)
    assert page.status_code == 404
    assert "<h1>Not here</h1>" in page.text


def test_the_page_of_a_version_draws_its_lineage_with_every_digest(whole, first_run):
    page = whole.get("/versions/1")
    assert page.text.count('class="card ') >= 14
    digest = HistoryReader(first_run[0]).read().versions[1].sha256
    assert digest in page.text
    assert f'href="/affected/{digest}"' in page.text
    assert "not verified yet" in words(page)
    assert "Approved by nobody" in words(page)


def test_verify_now_audits_the_version_and_changes_nothing(first_run):
    client, root = many_runs.pages(first_run[0]), first_run[0]
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    assert client.post("/versions/1/verify", headers=OWN, follow_redirects=False).status_code == 303
    shown = words(client.get("/versions/1"))
    assert "INTEGRITY PASS" in shown
    # A checkout with changes of its own does not pass the policy.
    assert re.search(r"(PASS|FAIL), \d{4}-\d\d-\d\d \d\d:\d\d UTC", rows(client.get("/"))[0])
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before


def test_a_tampered_version_is_red_with_the_first_finding(root):
    (root / "serving/1/saved_model.pb").write_bytes(b"other")
    client = many_runs.pages(root)
    client.post("/versions/1/verify", headers=OWN)
    page = client.get("/versions/1")
    assert 'role="alert"' in page.text
    assert re.search(r"FAIL, .* UTC: INTEGRITY FAIL served file: serving/1/saved_model.pb", words(page))
    assert "broken" in page.text.split("<figure>")[1]
    assert 'class="bad">FAIL' in client.get("/").text


@pytest.mark.parametrize("headers", [{}, {"origin": "http://evil.example"}, {**OWN, "sec-fetch-site": "cross-site"}])
def test_no_other_site_can_have_a_version_audited(whole, headers):
    assert whole.post("/versions/1/verify", headers=headers).status_code == 403


def test_evidence_is_downloaded_as_the_command_writes_it(whole):
    package = whole.get("/versions/1/evidence.zip")
    assert package.content[:2] == b"PK"
    assert "version-1-evidence.zip" in package.headers["content-disposition"]


def test_what_a_digest_went_into_is_said_with_the_versions(whole, first_run):
    (record,) = runs(first_run[0])
    page = whole.get(f"/affected/{record.payload_digests[0]}")
    assert "went into models" in words(page)
    assert 'href="/versions/1"' in page.text
    assert "cannot be told" in words(whole.get(f"/affected/{'0' * 64}"))


def test_a_version_that_is_gone_says_so_and_keeps_its_facts(root):
    shutil.rmtree(root / "serving/1")
    shown = words(many_runs.pages(root).get("/versions/1"))
    assert "Version 1 missing" in shown
    assert "It cannot be drawn" in shown


def test_who_approved_is_shown_and_whether_it_counts(root, tmp_path):
    sha256 = HistoryReader(root).read().versions[1].sha256
    pair = keys.generate(tmp_path, algorithm=keys.ED25519)
    key, ada = keys.load_private(pair.private, pytest.fail), Person(by=f"Ada {HOSTILE}", reason="good enough")
    approve(Ledger.open(root / "ledger.jsonl"), "version", "version 1", sha256, ada, None)
    client = many_runs.pages(root)
    assert "(not signed)" in rows(client.get("/"))[0]
    ledger = Ledger.open(root / "ledger.jsonl")
    add_key(ledger, key.public, "Ada", ada)
    approve(ledger, "version", "version 1", sha256, ada, key)
    (row,) = rows(client.get("/"))
    assert f"Ada {HOSTILE}, 20" in row
    assert "not signed" not in row
    shown = words(client.get("/versions/1"))
    assert f"Ada {HOSTILE}" in shown
    assert "good enough" in shown
    assert shown.count(f"Ada {HOSTILE}") == 2


def test_a_staged_version_waits_and_a_version_that_was_rolled_back_says_so(root):
    many_runs.add_run(root, 2, push=True)
    ledger = Ledger.open(root / "ledger.jsonl")
    ledger.pushed(node="Pusher", run_id="rollback-3", version=3, digest="3" * 64, restored=1, rolled_back_from=2)
    ledger.staged(node="Pusher", run_id="run-4", version=4, digest="4" * 64)
    for folder in ("serving/3", "staged/4"):
        (root / folder).mkdir(parents=True)
        (root / folder / "saved_model.pb").write_bytes(b"")
    versions = HistoryReader(root).read().versions
    assert {number: one.state for number, one in versions.items()} == {
        1: "replaced",
        2: "rolled back",
        3: "served",
        4: "staged",
    }
    assert versions[3].restored == 1
    client = many_runs.pages(root)
    assert "Version 4 staged" in words(client.get("/versions/4"))
    assert "Served (UTC) not yet" in words(client.get("/versions/4"))
    assert "version 1 again" in words(client.get("/versions/3"))


def test_what_monitoring_said_of_the_requests_is_on_the_page_of_the_version(root):
    version = HistoryReader(root).read().versions[1]
    said = Monitoring(
        version=1,
        digest=version.sha256,
        state="unlike",
        rows=500,
        since="2027-01-01T00:00:00Z",
        until="2027-01-02T00:00:00Z",
        asked="2027-01-03T00:00:00Z",
        cause="all pixels are dark",
        facts=(HOSTILE,),
    )
    place = samples.folder(RunPaths(root), 1, version.sha256)
    place.mkdir(parents=True)
    (place / "monitoring.json").write_text(json.dumps(said.to_dict()))
    shown = words(many_runs.pages(root).get("/versions/1"))
    assert "unlike 500 sampled rows, 2027-01-01 00:00:00 to 2027-01-02 00:00:00 UTC" in shown
    assert f"all pixels are dark {HOSTILE}" in shown
    (place / "monitoring.json").write_text("[]")
    assert "not a JSON object" in words(many_runs.pages(root).get("/versions/1"))
