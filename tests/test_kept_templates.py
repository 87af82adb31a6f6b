"""Templates are compiled once: of equal sources alone, and what is kept is used only if it is one's own and whole."""

import jinja2
import pytest

from pipeline.lineage.export import html


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_TFX_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache" / "templates"
    html._environment.cache_clear()


@pytest.fixture
def template(tmp_path):
    file = tmp_path / "pages" / "greeting.html.j2"
    file.parent.mkdir()
    file.write_text("<p>{{ greeting }}, {% include 'name.html.j2' %}</p>")
    file.with_name("name.html.j2").write_text("{{ name }}")
    return file


@pytest.fixture
def greeted(monkeypatch, template):
    """Fills in the template as a new process does, and returns the text and how many templates it compiled."""
    compiled = []
    compile_ = jinja2.Environment.compile

    def counted(self, *arguments, **options):
        compiled.append(arguments)
        return compile_(self, *arguments, **options)

    monkeypatch.setattr(jinja2.Environment, "compile", counted)

    def greeted():
        html._environment.cache_clear()
        compiled.clear()
        text = html.fragment(template, greeting="Hello", name="<b>")
        return str(text), len(compiled)

    return greeted


TEXT = "<p>Hello, &lt;b&gt;</p>"


def test_a_second_process_compiles_nothing(greeted, cache):
    assert greeted() == (TEXT, 2)
    assert greeted() == (TEXT, 0)
    assert cache.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in cache.iterdir()} == {0o600}


def test_a_changed_template_is_compiled_again(greeted, template):
    greeted()
    template.with_name("name.html.j2").write_text("{{ name | upper }}")
    assert greeted() == ("<p>Hello, &lt;B&gt;</p>", 1)


@pytest.mark.parametrize("spoilt", [b"", b"\0", b"marshal", b"\xe3"])
def test_what_is_not_whole_is_compiled_again(greeted, cache, spoilt):
    greeted()
    for file in cache.iterdir():
        file.write_bytes(spoilt)
    assert greeted() == (TEXT, 2)
    assert greeted() == (TEXT, 0)


@pytest.mark.parametrize("which", ["files", "folder"])
def test_what_others_can_write_to_is_not_used(greeted, cache, which):
    greeted()
    for place in cache.iterdir() if which == "files" else [cache]:
        place.chmod(0o777)
    assert greeted() == (TEXT, 2)


def test_a_cache_that_cannot_be_made_is_no_failure(greeted, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MNIST_TFX_CACHE", str(tmp_path / "file" / "cache"))
    assert greeted() == (TEXT, 2)
