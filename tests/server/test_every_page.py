"""Every page of the server and every page that a run leaves, in a real browser: nothing that keeps anybody from using it.

One root, one server and one browser for all of them; a page is opened once and looked at in each width and theme.
"""

import html
import re
import urllib.parse

import axe
import browser
import pytest
from PIL import Image
from predict import drawn
from server import busy_root, loaded, many_runs

from pipeline.provenance.runs import runs
from pipeline.root.paths import RunPaths

LOOKS = [(width, dark) for width in (400, 1400) for dark in (False, True)]
SCROLLED = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
OVERFLOWING = """
[...document.querySelectorAll('body *')].filter(found => found.getBoundingClientRect().right > innerWidth + 0.5 &&
  getComputedStyle(found).clipPath === 'none' && !found.closest('thead, .frame, svg'))
  .map(found => found.outerHTML.slice(0, 150))
"""
OWN = {"origin": "http://127.0.0.1:8501"}


@pytest.fixture(scope="module")
def root(first_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("busy")
    return busy_root.build(first_run[0], folder / "root", folder / "keys")


@pytest.fixture(scope="module")
def client(root, tmp_path_factory):
    """The pages, with the newest good version loaded and the audits of two versions made."""
    found = loaded.pages(root, loaded.versions(root, tmp_path_factory.mktemp("scratch")))
    for version in (1, busy_root.TAMPERED):
        found.post(f"/versions/{version}/verify", headers=OWN)
    return found


@pytest.fixture(scope="module")
def site(client):
    with many_runs.served(client.app) as address:
        yield address


@pytest.fixture(scope="module")
def rules():
    found = axe.script()
    if found is None:
        pytest.skip("no axe-core: npm pack could not fetch it")
    return found


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    program = browser.executable()
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with browser.started(program, tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def addresses(root, site, client):
    """Addresses of all kinds of pages, by name."""
    first, refused, *_, tampered = runs(root)
    report, evidence = RunPaths(root).report(first.run_id), root.parent / "evidence.html"
    # As files, since the server has them run no script, and axe-core is one.
    evidence.write_text(client.get("/versions/1/evidence.html").text, encoding="utf-8")
    return {
        "all runs and data": f"{site}/",
        "nothing found": f"{site}/?text=nothing&data_text=nothing",
        "run": f"{site}/runs/{first.run_id}",
        "refused run": f"{site}/runs/{refused.run_id}",
        "verified version": f"{site}/versions/1",
        "version": f"{site}/versions/{busy_root.SERVED}",
        "tampered version": f"{site}/versions/{busy_root.TAMPERED}",
        "two compared": f"{site}/compare?run={first.run_id}&run={tampered.run_id}",
        "three compared": f"{site}/compare?run={first.run_id}&run={refused.run_id}&run={tampered.run_id}",
        "affected": f"{site}/affected/{first.payload_digests[0]}",
        "unknown digest": f"{site}/affected/{'0' * 64}",
        "draw": f"{site}/draw",
        "drawn": f"{site}/draw",
        "impact": f"{site}/impact",
        "impact of a picture": f"{site}/impact",
        "refused upload": f"{site}/impact",
        "missing": f"{site}/nothing",
        "report as a file": report.as_uri(),
        "evidence as a file": evidence.as_uri(),
        "lineage as a file": RunPaths(root).lineage_page(first.run_id).as_uri(),
    }


def picture(folder):
    path = folder / "5.png"
    Image.fromarray(drawn.bytes_of(drawn.on_paper(drawn.centred("5")))).save(path)
    return path


def small_picture(folder):
    """One of the size of the data."""
    path = folder / "small.png"
    Image.new("L", (8, 8)).save(path)
    return path


SENT = {
    "drawn": ("#picture", picture, "document.querySelectorAll('.nearest .good').length === 5"),
    "impact of a picture": ("#files", small_picture, "document.querySelector('[data-answer]')"),
    "refused upload": ("#files", picture, "document.querySelector('.alarm')"),
}
"""{page: (field, what is chosen in it, what is true once it is answered)}."""

PAGES = [
    *("all runs and data", "nothing found", "run", "refused run", "verified version", "version"),
    *("tampered version", "two compared", "three compared", "affected", "unknown digest", "draw", "drawn"),
    *(
        "impact",
        "impact of a picture",
        "refused upload",
        "missing",
        "report as a file",
        "evidence as a file",
        "lineage as a file",
    ),
]
WITH_A_STATUS = {"missing", "refused upload"}
"""Pages that come with another status than 200, which the browser says."""


def complaints(chromium, address, site, *, status):
    """Return what the browser had to say, and what it asked of others than the server."""
    said = [entry["entry"]["text"] for entry in chromium.seen("Log.entryAdded")]
    said = [text for text in said if not (status and "the server responded with a status of 4" in text)]
    said += [str(call) for call in chromium.seen("Runtime.consoleAPICalled") + chromium.seen("Runtime.exceptionThrown")]
    asked = [request["request"]["url"] for request in chromium.seen("Network.requestWillBeSent")]
    assert asked
    return said + [url[:80] for url in asked if not url.startswith((f"{site}/", "data:")) and url != address]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_can_be_used_by_everybody_in_any_width_and_theme(chromium, rules, site, addresses, tmp_path, name):
    chromium.open(addresses[name], width=1400)
    assert chromium.evaluate("getComputedStyle(document.body).fontFamily").startswith("system-ui")  # its style came
    if name in SENT:
        field, write, answered = SENT[name]
        chromium.choose_files(field, write(tmp_path))
        chromium.evaluate("document.querySelector('main form').requestSubmit()")
        chromium.wait_for(f"document.readyState === 'complete' && !!({answered})")
    chromium.evaluate("document.querySelectorAll('details').forEach(found => { found.open = true })")
    found = {}
    for width, dark in LOOKS:
        chromium.look(width=width, dark=dark)
        overflowing = chromium.evaluate(OVERFLOWING) if chromium.evaluate(SCROLLED) else []
        found[width, dark] = [*axe.violations(chromium, rules), *overflowing]
    assert {look: seen for look, seen in found.items() if seen} == {}
    assert chromium.evaluate("window.ran") is None
    assert complaints(chromium, addresses[name], site, status=name in WITH_A_STATUS) == []


LINK = re.compile(r"""<(?:a|area|link|img|script|form|iframe|use|image)\b[^>]*?\s(?:xlink:href|href|src)="([^"]*)\"""")


def links(text):
    """Return what a page refers to, pictures in it left out."""
    return [found for link in LINK.findall(text) if not (found := html.unescape(link)).startswith("data:")]


def test_no_link_of_any_page_is_broken_and_none_leaves_the_machine(client, root):
    """From page to page, as far as links go."""
    first = runs(root)[0]
    waiting, pages, broken = ["/", f"/compare?run={first.run_id}&run={runs(root)[-1].run_id}"], {}, []
    for path in waiting:
        if path in pages:
            continue
        answer = client.get(path)
        pages[path] = text = answer.text if answer.headers["content-type"].startswith("text/html") else ""
        if answer.status_code != 200:
            broken.append((path, answer.status_code))
        # The tables sorted and filtered have the same links again, in every order of both.
        for link in links(text) if not path.startswith("/?") else ():
            address = urllib.parse.urljoin(str(answer.url), link)
            parts = urllib.parse.urlsplit(address)
            if parts.netloc != "127.0.0.1:8501":
                broken.append((path, link))
            else:
                waiting.append(urllib.parse.urlunsplit(("", "", parts.path, parts.query, "")))
            if parts.fragment and not link.startswith("/") and f'id="{parts.fragment}"' not in text:
                broken.append((path, link))
    assert broken == []
    kinds = {path.split("?")[0].split("/")[1] for path in pages}
    assert kinds >= {"", "runs", "versions", "affected", "compare", "draw", "impact"}
    assert len(pages) > 40
    assert any(path.endswith("/report") for path in pages)


@pytest.mark.parametrize("kind", ["report", "lineage_page"])
def test_no_link_of_a_page_that_a_run_leaves_is_broken_or_leaves_the_machine(root, kind):
    file = getattr(RunPaths(root), kind)(runs(root)[0].run_id)
    text, found = file.read_text(encoding="utf-8"), []
    for link in links(text):
        parts = urllib.parse.urlsplit(link)
        assert (parts.scheme, parts.netloc) == ("", ""), link
        target = file.parent / urllib.parse.unquote(parts.path) if parts.path else file
        assert target.is_file(), link
        found.append(target)
        if parts.fragment:
            assert f'id="{parts.fragment}"' in target.read_text(encoding="utf-8"), link
    assert found
