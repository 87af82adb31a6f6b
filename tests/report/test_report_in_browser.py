"""The report in a real browser: nothing fails, nothing is fetched, nothing overflows, nothing runs."""

import dataclasses

import browser
import pytest

from pipeline.provenance.records import DataSource
from pipeline.report import compare
from pipeline.report.page import page, rendered

CHROMIUM = browser.executable()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

WIDTHS = (400, 1400)
HOSTILE = "<script>window.ran = 1</script><img src=http://example.com/x onerror='window.ran = 1'>\"'&amp;{{ 7 * 7 }}.gz"

SCROLLED = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
OVERFLOWING = """
[...document.querySelectorAll('body *')].filter(found =>
  !found.closest('.frame') && found.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5 &&
  getComputedStyle(found).clipPath === 'none'
).map(found => found.tagName + '.' + found.className)
"""
OUTSIDE_THEIR_CHART = """
[...document.querySelectorAll('figure > svg')].flatMap(svg => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => {
    const words = text.getBoundingClientRect();
    return words.left < box.left - 2 || words.right > box.right + 2 || words.bottom > box.bottom + 2;
  }).map(text => text.textContent);
})
"""
OUTSIDE_THEIR_CARD = """
[...document.querySelectorAll('.card')].flatMap(card => {
  const box = card.querySelector('rect').getBBox();
  return [...card.querySelectorAll('text')].filter(text => {
    const words = text.getBBox();
    return text.textContent && (words.x < box.x || words.x + words.width > box.x + box.width);
  }).map(text => text.textContent);
})
"""
UNCOLOURED = (
    "[...document.querySelectorAll('svg *')].filter(e => /#[0-9a-f]{6}/.test(e.outerHTML.split('>')[0])).length"
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser.started(CHROMIUM, tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def report(tmp_path, evidence, answers):
    """A function that writes the page of a run and returns its path."""

    def write(found=evidence, known=answers):
        path = tmp_path / "report.html"
        path.write_text(page(found, known), encoding="utf-8")
        return path

    return write


def complaints(chromium):
    """Returns what the browser had to say about the page, and what it asked for besides the page itself."""
    said = [entry["entry"]["text"] for entry in chromium.seen("Log.entryAdded")]
    said += [str(call) for call in chromium.seen("Runtime.consoleAPICalled") + chromium.seen("Runtime.exceptionThrown")]
    asked = [request["request"]["url"] for request in chromium.seen("Network.requestWillBeSent")]
    return said + [url[:80] for url in asked[1:] if not url.startswith("data:")]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_report_opens_without_a_complaint_or_a_request(chromium, report, width, dark):
    chromium.open(report(), width=width, dark=dark)
    assert complaints(chromium) == []
    assert chromium.evaluate("getComputedStyle(document.body).maxWidth") == "1240px"  # its hash let the style in
    assert chromium.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 0


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("run", ["ok", "refused"])
def test_nothing_overflows(chromium, report, refused, width, run):
    chromium.open(report() if run == "ok" else report(refused, {}), width=width)
    assert chromium.evaluate(SCROLLED) == 0
    assert chromium.evaluate(OVERFLOWING) == []
    assert chromium.evaluate(OUTSIDE_THEIR_CARD) == []


def test_the_words_of_a_chart_stay_within_it(chromium, report):
    chromium.open(report(), width=1400)
    assert chromium.evaluate(OUTSIDE_THEIR_CHART) == []


def test_a_dark_page_turns_charts_and_ink_light(chromium, report):
    look = "getComputedStyle(document.querySelector('{}')).{}"
    colours = {}
    for dark in (False, True):
        chromium.open(report(), width=1400, dark=dark)
        colours[dark] = [
            chromium.evaluate(look.format("figure svg text", "fill")),
            chromium.evaluate(look.format("img.ink", "filter")),
        ]
        assert chromium.evaluate(UNCOLOURED) == 0
    assert colours[False][0] != colours[True][0]
    assert (colours[False][1], colours[True][1]) == ("none", "invert(1)")


@pytest.mark.fault(37)
@pytest.mark.parametrize("width", WIDTHS)
def test_markup_in_names_reasons_and_settings_is_inert_text(chromium, report, evidence, width):
    run = dataclasses.replace(
        evidence.run,
        nodes=tuple(dataclasses.replace(node, why=HOSTILE) for node in evidence.run.nodes),
        error={"kind": "X", "what": HOSTILE, "where": HOSTILE},
        sources=(DataSource(name=HOSTILE, payload_digest=HOSTILE),),
        settings={**evidence.run.settings, HOSTILE: {HOSTILE: HOSTILE}},
    )
    bad = dataclasses.replace(evidence, run=run)
    bad.__dict__["settings"] = evidence.settings
    chromium.open(report(bad), width=width)
    assert complaints(chromium) == []
    assert chromium.evaluate("window.ran") is None
    assert (
        chromium.evaluate("document.querySelectorAll('script, iframe, object, img:not([src^=\"data:\"])').length") == 0
    )
    assert HOSTILE in chromium.evaluate("document.body.textContent")
    assert chromium.evaluate(SCROLLED) == 0


def test_every_entry_of_the_contents_leads_somewhere(chromium, report):
    chromium.open(report(), width=1400)
    lost = "[...document.querySelectorAll('nav a')].filter(a => !document.querySelector(a.getAttribute('href'))).length"
    assert chromium.evaluate(lost) == 0


def test_the_report_can_be_printed(chromium, report):
    chromium.open(report(), width=1400, dark=True, medium="print")
    assert chromium.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert chromium.evaluate("getComputedStyle(document.querySelector('img.ink')).filter") == "none"
    assert len(chromium.call("Page.printToPDF", printBackground=True)["data"]) > 10_000


@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_opens_and_does_not_overflow(chromium, tmp_path, evidence, answers, width):
    run = dataclasses.replace(evidence.run, run_id="run-2", status="refused", metrics=None)
    second = dataclasses.replace(evidence, run=run)
    found = compare.comparison(
        (evidence, second), (answers, {**answers, "probabilities": answers["probabilities"][::-1]})
    )
    path = tmp_path / "compare.html"
    path.write_text(rendered("compare.html.j2", it=found, unanswered=""), encoding="utf-8")
    chromium.open(path, width=width)
    assert complaints(chromium) == []
    assert chromium.evaluate(SCROLLED) == 0
    assert chromium.evaluate(OVERFLOWING) == []
