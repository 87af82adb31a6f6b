"""The pages `/draw` and `/impact` in a real browser, over a real server: mouse, finger, keyboard, both widths, nobody else."""

import urllib.parse

import browser
import pytest
from PIL import Image
from predict import drawn
from server.running_server import serving

CHROMIUM = browser.executable()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

FIVE = [
    *[(0.68, 0.2), (0.55, 0.2), (0.38, 0.2), (0.36, 0.33), (0.34, 0.46), (0.5, 0.43), (0.64, 0.5)],
    *[(0.68, 0.62), (0.63, 0.74), (0.5, 0.8), (0.36, 0.77)],
]
"""One stroke, as shares of the sheet's sides."""

ANSWER = "document.querySelector('[data-read]')?.textContent"
PROOFS = "document.querySelectorAll('.nearest .good').length"
OVERFLOWING = """
[...document.querySelectorAll('body *')].filter(found => found.getBoundingClientRect().right > innerWidth + 0.5 &&
  getComputedStyle(found).clipPath === 'none' && !found.closest('thead')).map(found => found.tagName + '.' + found.className)
"""
TAB, ENTER, BACKSPACE, DELETE = ("Tab", 9), ("Enter", 13, "\r"), ("Backspace", 8), ("Delete", 46)


@pytest.fixture(scope="module")
def address(first_run, tmp_path_factory):
    with serving(first_run[0], folder=tmp_path_factory.mktemp("server")) as running:
        yield running.rest.partition("/v1/")[0]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser.started(CHROMIUM, tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def opened(chromium, address):
    """A function that opens a page; afterwards nothing has failed, and nobody but the server was asked."""

    def open_page(path, width=1400, *, dark=False):
        chromium.open(address + path, width=width, dark=dark)
        return chromium

    yield open_page
    asked = {event["request"]["url"] for event in chromium.seen("Network.requestWillBeSent")}
    hosts = {urllib.parse.urlsplit(url).netloc for url in asked if not url.startswith("data:")}
    assert hosts == {urllib.parse.urlsplit(address).netloc}
    assert not chromium.seen("Runtime.exceptionThrown")
    assert not [one for one in chromium.seen("Log.entryAdded") if one["entry"]["level"] == "error"]


def on_sheet(page, points):
    box = page.evaluate(
        "(() => { const b = document.querySelector('canvas').getBoundingClientRect(); return [b.x, b.y, b.width, b.height] })()"
    )
    return [(box[0] + x * box[2], box[1] + y * box[3]) for x, y in points]


def picture(folder, text="7"):
    path = folder / f"{text}.png"
    Image.fromarray(drawn.bytes_of(drawn.on_paper(drawn.centred(text)))).save(path)
    return path


def small_picture(folder):
    """One of the size of the data."""
    path = folder / "small.png"
    Image.new("L", (8, 8)).save(path)
    return path


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("hand", ["mouse", "pen", "finger"])
def test_a_five_that_is_drawn_is_read_as_a_five(opened, width, hand):
    page = opened("/draw", width)
    points = on_sheet(page, FIVE)
    if hand == "finger":
        page.call("Emulation.setTouchEmulationEnabled", enabled=True)
        page.touch(points)
        page.call("Emulation.setTouchEmulationEnabled", enabled=False)
    else:
        page.drag(points, hand)
    assert page.wait_for(ANSWER) == "5"
    # The training rows are encoded meanwhile, and then the answer says where it comes from, unasked.
    page.wait_for(f"{PROOFS} === 5")
    assert page.evaluate(OVERFLOWING) == []


def test_strokes_are_undone_and_the_sheet_is_cleared_by_keys_and_buttons(opened):
    page = opened("/draw")
    ink = (
        "document.querySelector('canvas').getContext('2d').getImageData(0, 0, 280, 280).data.filter(v => v < 99).length"
    )
    page.drag(on_sheet(page, FIVE))
    one = page.wait_for(ink)
    page.drag(on_sheet(page, [(0.1, 0.9), (0.9, 0.9)]))
    assert page.evaluate(ink) > one
    page.evaluate("document.querySelector('canvas').focus()")
    page.press(*BACKSPACE)
    assert page.evaluate(ink) == one
    page.press(*DELETE)
    assert page.evaluate(ink) == 0
    page.wait_for("document.querySelector('#answer').textContent.includes('No picture yet')")
    page.drag(on_sheet(page, FIVE))
    page.evaluate("document.querySelector('[data-undo]').click()")
    assert page.evaluate(ink) == 0


def test_a_picture_is_sent_by_keyboard_alone(opened, tmp_path):
    page = opened("/draw", 400)
    page.choose_files("#picture", picture(tmp_path))
    page.evaluate("document.querySelector('#picture').focus()")
    page.press(*TAB)
    assert page.evaluate("document.activeElement.textContent") == "Read the picture"
    page.press(*ENTER)
    assert page.wait_for(ANSWER) == "7"


def test_every_control_is_reached_by_tab(opened):
    page = opened("/draw")
    reached = []
    for _ in range(12):
        page.press(*TAB)
        reached.append(page.evaluate("document.activeElement.outerHTML.slice(0, 40)"))
    for wanted in ("<canvas", "data-undo", "data-clear", 'id="picture"', 'type="submit"', 'href="/impact"'):
        assert any(wanted in one for one in reached), wanted


@pytest.mark.parametrize("width", [400, 1400])
def test_a_data_file_is_looked_up_by_choosing_it(opened, digits_folder, width):
    page = opened("/impact", width)
    images = next(path for path in digits_folder.iterdir() if "images" in path.name)
    page.choose_files("#files", images)
    page.evaluate("document.querySelector('#files').focus()")
    page.press(*TAB)
    page.press(*ENTER)
    assert page.wait_for("document.querySelector('[data-answer]')?.dataset.answer") == "yes"
    assert page.evaluate("document.querySelector('td a').getAttribute('href')") == "/versions/1"
    assert page.evaluate(OVERFLOWING) == []


def test_a_file_is_looked_up_by_dropping_it(opened, tmp_path):
    page = opened("/impact")
    page.drop_files((300, 300), small_picture(tmp_path))
    assert page.wait_for("document.querySelector('[data-answer]')?.dataset.answer") == "no"
