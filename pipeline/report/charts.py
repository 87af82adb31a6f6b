"""Charts in SVG that take their colours and their type from the page.

Matplotlib draws in colours that stand for roles; in the SVG they become the page's CSS variables, so that one picture
serves light, dark and print. Style attributes become presentation attributes: the page's policy allows no inline style.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from markupsafe import Markup

from pipeline.report.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, RULE, SURFACE = "#111111", "#222222", "#333333", "#444444"
FIRST, SECOND, THIRD = "#550001", "#550002", "#550003"
KINDS: Final = tuple(f"#66000{number}" for number in range(10))
"""Ten colours for classes, none of them brighter than the others."""

ROLES: Final = {
    INK: "ink",
    SOFT: "soft",
    RULE: "rule",
    SURFACE: "surface",
    FIRST: "first",
    SECOND: "second",
    THIRD: "third",
    **{kind: f"k{number}" for number, kind in enumerate(KINDS)},
}
"""{colour in matplotlib: CSS variable of the page}."""

SVG: Final = "http://www.w3.org/2000/svg"
XLINK: Final = "http://www.w3.org/1999/xlink"
POINTS_PER_INCH: Final = 72
DROPPED: Final = frozenset({"font-family", "font-style", "font", "font-variant", "font-stretch"})

LEFT, RIGHT, BELOW, ABOVE = 62, 14, 46, 12
"""CSS pixels around the axes: on the left a label and ticks of six characters, below a label and ticks."""

STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mnist-tfx",
    "font.size": 11,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.labelcolor": SOFT,
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
    "figure.facecolor": "none",
}


def chart(width: int = 460, height: int = 280, *, above: int = ABOVE) -> tuple[Figure, Axes]:
    """Return an empty figure of so many CSS pixels, and its axes, with `above` pixels over them."""
    import matplotlib as mpl
    from matplotlib.figure import Figure  # no pyplot: it looks for a display, and keeps every figure

    mpl.rcParams.update(STYLE)
    figure = Figure((width / POINTS_PER_INCH, height / POINTS_PER_INCH))
    # Margins of fixed size: matplotlib's own layouts measure every label twice, which is most of the time of a chart.
    figure.subplots_adjust(left=LEFT / width, right=1 - RIGHT / width, bottom=BELOW / height, top=1 - above / height)
    return figure, figure.subplots()


def plain(name: str, longest: int = 12) -> str:
    """Return the name of a class as matplotlib takes it for text: cut where it is long, and no formula."""
    return (name if len(name) <= longest else f"{name[: longest - 1]}…").replace("$", r"\$")


def whole_numbers(axis: Any) -> None:
    """Put ticks at whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def log_axis(axis: Any, values: Iterable[float]) -> None:
    """Make an axis logarithmic, with round ticks between the values, four or more if there are such."""
    positive = [value for value in values if value > 0]
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    if not positive:
        return
    decades = range(math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive))) + 1)
    low, high = min(positive) * 0.85, max(positive) * 1.18
    kept: list[float] = []
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        if len(kept) < 4:
            kept = [tick for decade in decades for step in steps if low <= (tick := step * 10.0**decade) <= high]
    axis.set_ticks(kept, [f"{tick:g}" for tick in kept])
    axis.set_ticks([], minor=True)


def drawn(figure: Figure, text: str) -> Picture:
    """Return a finished figure as a picture."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.StringIO()
    FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})  # type: ignore[no-untyped-call]  # matplotlib
    width, height = (round(side * POINTS_PER_INCH) for side in figure.get_size_inches())
    return Picture(text=text, svg=page_svg(file.getvalue()), width=width, height=height)


def page_svg(svg: str) -> Markup:
    """Return matplotlib's SVG as an element for the page: no style, no names of groups, roles for colours."""
    root = ET.fromstring(svg)  # noqa: S314  # matplotlib wrote it just now
    for name in ("metadata", "defs"):
        for child in root.findall(f"{{{SVG}}}{name}"):
            if name == "metadata" or child.find(f"{{{SVG}}}style") is not None:
                root.remove(child)
    for element in root.iter():
        _made_plain(element)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("aria-hidden", "true")  # its figure says in words what it shows
    # Outside of XML, SVG elements have no namespace to declare, and xlink:href is plain href.
    text = ET.tostring(root, encoding="unicode")
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    return Markup(re.sub(r"\n\s*", " ", re.sub(r"<(/?)\w+:", r"<\1", text)))  # noqa: S704  # from an XML writer


def _made_plain(element: ET.Element) -> None:
    if element.tag == f"{{{SVG}}}g":
        element.attrib.pop("id", None)  # axes_1 and the like: the same in every picture of the page
    if (target := element.attrib.pop(f"{{{XLINK}}}href", None)) is not None:
        element.set("href", target)
    for rule in element.attrib.pop("style", "").split(";"):
        name, _, value = (part.strip() for part in rule.partition(":"))
        if value and name not in DROPPED:
            element.set(name, _coloured(value))


def _coloured(value: str) -> str:
    role = ROLES.get(value)
    return value if role is None else f"var(--{role})"
