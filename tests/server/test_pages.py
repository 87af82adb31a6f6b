"""The pages about runs and versions, without a browser, a server or a model."""

import html
import json
import re
import shutil
import time
import types

import pytest
from server import many_runs

from pipeline.lineage.diff import words as diff_words
from pipeline.lineage.diff.diff import diff
from pipeline.lineage.history import HistoryReader
from pipeline.predict import samples
from pipeline.predict.monitor import Monitoring
from pipeline.predict.server.pages import changes, overview
from pipeline.provenance import at_work, keys, record_store
from pipeline.provenance.approval_writer import Person, add_key, approve
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.records import DataSource, record_hash
from pipeline.provenance.runs import runs
from pipeline.root.paths import RunPaths

HOSTILE = "<script>window.ran = 1</script>\"'&amp;{{ 7 * 7 }}"
REFUSAL = {"kind": "Refused", "what": HOSTILE, "where": "Evaluator"}


@pytest.fixture(scope="module")
def many(first_run, tmp_path_factory):
    """A root with 200 runs: every second one was pushed, the others were refused."""
    root = many_runs.history_only(first_run[0], tmp_path_factory.mktemp("many"))
    writer = many_runs.Runs(root)
    for number in range(2, 201):
        pushed = number % 2 == 0
        accuracy = {"metrics": {**writer.first.metrics, "accuracy": number / 200}} if number < 10 else {}
        changes = accuracy if pushed else {"status": "refused", "error": REFUSAL, "recipe": HOSTILE}
        writer.add(number, push=pushed, **changes)
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


def test_a_root_with_200_runs_is_answered_within_a_second_and_unchanged_in_a_tenth(many):
    client, spent = many_runs.pages(many), []
    for _ in range(4):
        started = time.process_time()
        assert client.get("/").status_code == 200
        spent.append(time.process_time() - started)
    assert spent[0] < 1.0
    assert min(spent[1:]) < 0.1


def test_where_comparing_takes_long_the_page_comes_first_and_knows_that_it_is_not_all(root, monkeypatch):
    many_runs.Runs(root).add_own(2, {"Classifier": {"seed": "7"}})
    monkeypatch.setattr(overview, "PATIENCE", 0)
    client = many_runs.pages(root)
    page, live = client.get("/"), client.get("/live.json").json()
    assert "comparing…" in rows(page)[0]
    assert f'data-live="{live["state"]}"' not in page.text
    monkeypatch.undo()
    page = client.get("/")
    assert "settings (1) changed" in rows(page)[0]
    assert f'data-live="{live["state"]}"' in page.text


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


def data_rows(page):
    """Return the text of each row of the table of data sets."""
    table = page.text.partition('<table class="runs data">')[2].partition("</table>")[0]
    found = re.findall(r"<tr>\s*<th scope=\"row\">(.*?)</tr>", table, re.DOTALL)
    return [html.unescape(" ".join(re.sub(r"<[^>]+>", " ", one).split())) for one in found]


@pytest.fixture(scope="module")
def collected(first_run, tmp_path_factory):
    """Pages of a root with three data sets: the first run's, one with a licence, and one that was refused at its ingest."""
    root = many_runs.history_only(first_run[0], tmp_path_factory.mktemp("collected"))
    (first,) = runs(root)
    stated = {**first.settings, "data": {**first.settings["data"], "label_count": 26, "licence": HOSTILE}}
    files = (DataSource(name="letters-images", payload_digest="a" * 64),)
    letters = {"rows_digest": "b" * 64, "sources": files, "payload_digests": ("a" * 64,), "settings": stated}
    not_ingested = {"rows_digest": None, "nodes": (), "status": "refused", "error": REFUSAL}
    many_runs.add_run(root, 2, push=True, **letters)
    many_runs.add_run(root, 3, **{**letters, **not_ingested})
    many_runs.add_run(
        root, 4, **not_ingested, sources=(DataSource(name="odd", payload_digest="c" * 64),), payload_digests=("c" * 64,)
    )
    return many_runs.pages(root)


def test_data_sets_are_rows_of_their_own_with_who_used_them(collected, first_run):
    odd, letters, digits = data_rows(collected.get("/"))
    (first,) = runs(first_run[0])
    assert digits.startswith(f"{first.rows_digest[:12]} last read")
    assert (
        "train-images-idx3-ubyte train-labels-idx1-ubyte 1,797 1,215 train, 180 validation, 402 test 10 not stated 1 1"
        in digits
    )
    # Of the same record, as it is of the same ingest; the run that was refused read the same files.
    assert letters.endswith(f"letters-images 1,797 1,215 train, 180 validation, 402 test 26 {HOSTILE} 2 2")
    assert odd.endswith("odd not on record 10 not stated 1 none")


def test_a_data_set_leads_to_what_it_went_into_to_its_runs_and_its_versions(collected, first_run):
    (first,) = runs(first_run[0])
    page = collected.get("/").text
    for address in (f"/affected/{first.rows_digest}", f"/affected/{first.payload_digests[0]}", "/versions/2"):
        assert f'href="{address}"' in page
    assert len(rows(collected.get(f"/?text={'b' * 64}"))) == 1
    found = many_runs.pages(first_run[0]).get(f"/affected/{first.rows_digest}")
    assert "went into models" in words(found)


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("data_sort=rows", "1,797"),
        ("data_sort=classes&data_order=descending", "letters"),
        ("data_sort=files&data_order=ascending", "letters"),
        ("data_sort=runs", "letters"),
        ("data_sort=read&data_order=ascending", "train-images"),
        ("data_text=LETTERS", "letters"),
        ("data_text=window.ran", "letters"),
        ("data_text=version+1", "train-images"),
    ],
)
def test_data_sets_are_sorted_and_filtered_as_runs_are(collected, query, first):
    page = collected.get(f"/?{query}")
    assert first in data_rows(page)[0]
    assert len(data_rows(page)) == (1 if "text" in query else 3)
    assert len(rows(page)) == 4  # which a filter of the other table leaves alone


def test_each_table_leaves_the_others_filter_and_order_as_they_are(collected):
    page = collected.get("/?text=served&sort=accuracy&data_sort=rows&data_text=letters").text
    assert '<input type="hidden" name="text" value="served">' in page
    assert '<input type="hidden" name="data_sort" value="rows">' in page
    assert "/?data_text=letters&amp;data_sort=rows&amp;text=served&amp;sort=accuracy&amp;order=ascending#runs" in page


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


def test_a_run_whose_record_is_gone_or_changed_says_so_at_once_and_not_from_memory(root):
    client = many_runs.pages(root)
    (before,) = rows(client.get("/"))
    record = record_store.file_of(root / "records", record_hash(runs(root)[0]))
    data = record.read_bytes()
    record.unlink()
    assert "record is missing" in rows(client.get("/"))[0]
    record.write_bytes(data.replace(b'"ok"', b'"no"'))
    assert "record was changed" in rows(client.get("/"))[0]
    record.write_bytes(data)
    assert rows(client.get("/")) == [before]


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
    page = whole.get(f"/runs/{run_id}/report")
    (link,) = set(re.findall(r'href="([^"]*\.lineage\.html)"', page.text))
    answer = whole.get(str(page.url.join(link)), follow_redirects=False)
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


@pytest.fixture
def reseeded(root):
    """A root whose second version differs from the first by a seed."""
    many_runs.Runs(root).add_own(2, {"Classifier": {"seed": "7"}})
    return root


def test_the_page_of_a_version_has_the_whole_diff_below_the_sentence(reseeded):
    page = many_runs.pages(reseeded).get("/versions/2")
    said = words(page)
    assert (
        "Changed since version 1 nothing but the seed, and the weights are the same Everything that differs As mnist-tfx lineage diff 1 2"
        in said
    )
    found = diff(reseeded, 1, 2)
    printed = [cell for section in found.sections for cells in diff_words.lines(section) for cell in cells if cell]
    assert printed
    assert [cell for cell in printed if cell not in said] == []
    assert "Changed since" not in words(many_runs.pages(reseeded).get("/versions/1"))


def test_a_diff_is_kept_while_its_files_are_the_same_and_no_longer(reseeded, monkeypatch):
    asked = []
    monkeypatch.setattr(changes, "diff", lambda *two: asked.append(two) or diff(*two))
    client = many_runs.pages(reseeded)
    first = words(client.get("/versions/2"))
    assert words(client.get("/versions/2")) == first
    assert len(asked) == 1
    (reseeded / "serving/1/variables/variables.index").write_bytes(b"other")
    assert "Cannot tell weights" in words(client.get("/versions/2"))
    assert len(asked) == 2


def test_where_a_record_is_gone_the_diff_cannot_be_told_and_the_page_is_there(reseeded):
    (classifier,) = (node.record for node in runs(reseeded)[1].nodes if node.id == "Classifier")
    (reseeded / "records" / f"{classifier}.json").unlink()
    said = words(many_runs.pages(reseeded).get("/versions/2"))
    assert re.search(
        r"Changed since version 1 Cannot tell what changed: SavedModelCheck: a record behind it is missing", said
    )


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
