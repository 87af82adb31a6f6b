"""The pages in a real browser: nothing fails, nothing is fetched from elsewhere, nothing overflows, and anybody can use them."""

import json

import axe
import browser
import pytest
from server import many_runs

from pipeline.provenance import at_work
from pipeline.provenance.runs import runs
from pipeline.root.paths import RunPaths

CHROMIUM = browser.executable()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

LOOKS = ((400, True), (1400, False))
HOSTILE = "<script>window.ran = 1</script><img src=http://example.com/x onerror='window.ran = 1'>\"'&amp;{{ 7 * 7 }}"
SCROLLED = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FOCUSED = "document.activeElement.textContent.trim()"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser.started(CHROMIUM, tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def root(first_run, tmp_path_factory):
    """A root with a served version, one that was tampered with, refused runs, and markup in all that was recorded."""
    root = many_runs.history_only(first_run[0], tmp_path_factory.mktemp("browsed"))
    (root / "artifacts").symlink_to(first_run[0] / "artifacts")
    (first,) = runs(root)
    error = {"kind": "Refused", "what": HOSTILE, "where": "Evaluator"}
    for number in (2, 3):
        settings = {**first.settings, "seed": number, HOSTILE: HOSTILE}
        many_runs.add_run(root, number, status="refused", error=error, recipe=HOSTILE, settings=settings)
    return root


@pytest.fixture(scope="module")
def tampered(first_run, tmp_path_factory):
    """A root whose version is not what was pushed."""
    root = many_runs.history_only(first_run[0], tmp_path_factory.mktemp("tampered"))
    (root / "artifacts").symlink_to(first_run[0] / "artifacts")
    (root / "serving/1/saved_model.pb").write_bytes(b"other")
    return root


@pytest.fixture(scope="module")
def site(root):
    with many_runs.served(many_runs.pages(root).app) as address:
        yield address


@pytest.fixture(scope="module")
def addresses(root, site):
    """Addresses of all kinds of pages, by name."""
    first, refused, other = (run.run_id for run in runs(root))
    digest = runs(root)[0].payload_digests[0]
    return {
        "all": f"{site}/",
        "none": f"{site}/?text=nothing",
        "run": f"{site}/runs/{first}",
        "refused": f"{site}/runs/{refused}",
        "version": f"{site}/versions/1",
        "compared": f"{site}/compare?run={first}&run={refused}&run={other}",
        "affected": f"{site}/affected/{digest}",
        "missing": f"{site}/nothing",
    }


def says(text):
    """Return the expression that is true where a page says a text."""
    return f"(document.body?.innerText ?? '').includes({json.dumps(text)})"


def complaints(chromium, site, status=200):
    """Return what the browser had to say, and what it asked of others than the server."""
    said = [entry["entry"]["text"] for entry in chromium.seen("Log.entryAdded")]
    if status == 404:  # of the page itself
        said = [text for text in said if "404" not in text]
    said += [str(call) for call in chromium.seen("Runtime.consoleAPICalled") + chromium.seen("Runtime.exceptionThrown")]
    asked = [request["request"]["url"] for request in chromium.seen("Network.requestWillBeSent")]
    assert asked
    return said + [url[:80] for url in asked if not url.startswith((f"{site}/", "data:"))]


@pytest.mark.parametrize(("width", "dark"), LOOKS)
@pytest.mark.parametrize("name", ["all", "none", "run", "refused", "version", "compared", "affected", "missing"])
def test_every_page_opens_at_any_width_without_a_complaint(chromium, site, addresses, name, width, dark):
    chromium.open(addresses[name], width=width, dark=dark)
    assert complaints(chromium, site, 404 if name == "missing" else 200) == []
    assert chromium.evaluate(SCROLLED) == 0
    assert chromium.evaluate("window.ran") is None
    assert chromium.evaluate("getComputedStyle(document.body).maxWidth") == "1600px"  # its hash let the style in
    rules = axe.script()
    if rules is None:
        pytest.skip("no axe-core: npm pack could not fetch it")
    assert axe.violations(chromium, rules) == []


def test_the_keyboard_alone_skips_to_the_content_and_compares_two_runs(chromium, addresses):
    chromium.open(addresses["all"], width=1400)
    chromium.press("Tab", 9)
    assert chromium.evaluate(FOCUSED) == "Skip to the content"
    assert chromium.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    ticked = 0
    for _ in range(60):
        chromium.press("Tab", 9)
        if chromium.evaluate("document.activeElement.type") == "checkbox" and ticked < 2:
            chromium.press(" ", 32, " ")
            ticked += 1
        if chromium.evaluate(FOCUSED).startswith("Compare"):
            break
    assert chromium.evaluate("document.querySelectorAll('input:checked').length") == 2
    chromium.events.clear()
    chromium.press("Enter", 13, "\r")
    chromium.wait_for(says("2 runs side by side"))


def test_a_run_at_work_moves(chromium, root, site):
    with at_work.announced(RunPaths(root), "20990101T000000.000000Z", "digits") as announcement:
        announcement.phase("Classifier, epoch 3/8")
        chromium.open(f"{site}/", width=1400)
        assert chromium.evaluate(says("Classifier, epoch 3/8"))
        announcement.phase("Classifier, epoch 4/8")
        chromium.wait_for(says("Classifier, epoch 4/8"))
    # It has ended without a record, so that the page that was loaded again does not have it.
    chromium.wait_for(f"document.readyState === 'complete' && !({says('epoch 4/8')})")


def test_a_version_that_was_tampered_with_is_red_once_it_is_verified(chromium, tampered):
    with many_runs.served(many_runs.pages(tampered).app) as site:
        chromium.open(f"{site}/versions/1", width=1400)
        chromium.evaluate("document.querySelector('form[action$=verify] button').click()")
        chromium.wait_for(says("INTEGRITY FAIL served file"))
        red = chromium.evaluate("getComputedStyle(document.querySelector('.card.served.broken rect')).strokeDasharray")
        assert red != "none"
        assert chromium.evaluate(SCROLLED) == 0
