"""The pages in a real browser, as they are used: by keyboard, while a run is at work, and on a version that was tampered with."""

import json

import browser
import pytest
from server import many_runs

from pipeline.provenance import at_work
from pipeline.root.paths import RunPaths

CHROMIUM = browser.executable()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

SCROLLED = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FOCUSED = "document.activeElement.textContent.trim()"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser.started(CHROMIUM, tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def root(first_run, tmp_path_factory):
    """A root with three runs."""
    root = many_runs.history_only(first_run[0], tmp_path_factory.mktemp("browsed"))
    (root / "artifacts").symlink_to(first_run[0] / "artifacts")
    for number in (2, 3):
        many_runs.add_run(root, number)
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


def says(text):
    """Return the expression that is true where a page says a text."""
    return f"(document.body?.innerText ?? '').includes({json.dumps(text)})"


def test_the_keyboard_alone_skips_to_the_content_and_compares_two_runs(chromium, site):
    chromium.open(f"{site}/", width=1400)
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
