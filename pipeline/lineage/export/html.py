"""The shell of our HTML pages: a page is one file with one style, and asks nothing of the network.

Its Content-Security-Policy says so: it allows the one style element, by its hash, and pictures as data: URIs where the
page has any. A page of the model server may also have one script, by its hash, and forms and requests to the server that
it came from. Jinja escapes every value, so that a file name with markup in it is text.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from pipeline.provenance.records import moment

SHELL: Final = Path(__file__).parent / "shell"


def rendered(  # noqa: PLR0913  # what a page can have
    template: Path,
    *,
    style: str,
    pictures: bool = False,
    served: bool = False,
    script: str = "",
    beside: tuple[Path, ...] = (),
    **values: Any,
) -> str:
    """Return a page.

    Args:
      template: of the page, which extends `shell.html.j2` by its blocks `title` and `body`; it may include its neighbours.
      style: CSS of the page, not escaped: ours.
      pictures: whether it shows pictures as data: URIs.
      served: whether a server answers it, which its forms and its script may ask then.
      script: JavaScript of the page, not escaped: ours.
      beside: folders of further templates.
      values: of the template.
    """
    whole = (SHELL / "shell.css").read_text(encoding="utf-8") + style
    page = _environment((template.parent, *beside, SHELL)).get_template(template.name)
    return page.render(
        style=whole,
        style_digest=_digest(whole),
        pictures=pictures,
        served=served,
        script=script,
        script_digest=_digest(script) if script else "",
        **values,
    )


def prepare(template: Path) -> None:
    """Compile a template for `rendered` or `fragment`, before its values are known."""
    _environment((template.parent, SHELL)).get_template(template.name)


def fragment(template: Path, **values: Any) -> Markup:
    """Return a part of a page, from a template that may include and import its neighbours."""
    return Markup(_environment((template.parent, SHELL)).get_template(template.name).render(**values))  # noqa: S704  # it escapes


@functools.lru_cache(maxsize=8)
def _environment(folders: tuple[Path, ...]) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "moment": moment, "share": _share, "size": _size}
    return environment


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def figure(value: Any) -> str:
    """Return a value as a table has it: four significant figures, whole numbers whole, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        if value == int(value) and abs(value) >= 1:
            return f"{value:,.0f}"
        return f"{value:.4f}" if abs(value) >= 0.0005 or value == 0 else f"{value:.2e}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _size(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"
