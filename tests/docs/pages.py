"""Pages of the documentation: their headings, links and blocks, and the commands that the blocks show.

The first word after a fence is the language, the others are marks. `sh` holds commands, `console` commands behind `$` with
what they printed; a block of another language that names a file is that file, in the folder where the commands run.
Unmarked commands are executed by `test_shown_commands`; marked ones are only held against the command line:

    cluster, gpu, docker   need one
    network                downloads something
    long                   takes minutes
    shown                  an example with names that stand for the reader's own
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
MARKS: Final = frozenset({"cluster", "docker", "gpu", "long", "network", "shown"})

FENCE: Final = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<img[^>]* src=\"([^\"]+)\"")
HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
EXIT: Final = re.compile(r"# exit (\d+)\b")


@dataclass(frozen=True)
class Shown:
    """One command line of a page, as a shell takes it, and the exit code that the page gives it."""

    page: str
    line: int
    text: str
    marks: frozenset[str]
    exit_code: int
    output: tuple[str, ...] = ()
    """What the page says that it printed; `...` stands for more lines."""

    @property
    def arguments(self) -> list[str]:
        """What `mnist-tfx` is given, up to a pipe, a redirection or the next command."""
        words = shlex.split(self.text, comments=True)
        ends = [n for n, word in enumerate(words) if word in ("|", "&&", "||", ">", ">>", "&", ";")]
        return words[1 : min(ends, default=len(words))]


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: str
    line: int
    info: tuple[str, ...]
    text: str

    @property
    def language(self) -> str:
        """The first word after the fence."""
        return self.info[0] if self.info else ""

    @property
    def marks(self) -> frozenset[str]:
        """What keeps its commands from being executed."""
        return frozenset(self.info[1:]) & MARKS

    @property
    def file(self) -> str | None:
        """The file whose content the block is."""
        return next((word for word in self.info[1:] if word not in MARKS), None)

    def commands(self) -> Iterator[Shown]:
        """Yield the command lines of the block; a backslash joins two lines."""
        if self.language not in ("sh", "console"):
            return
        joined = self.text.replace("\\\n", "")
        parts = re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:] if self.language == "console" else joined.splitlines()
        for part in parts:
            command, *output = part.splitlines() or [""]
            if command.strip() and not command.startswith("#"):
                found = EXIT.search(command)
                code = int(found[1]) if found else 0
                yield Shown(self.page, self.line, command, self.marks, code, tuple(filter(str.strip, output)))


def pages() -> list[Path]:
    """Return every page that a reader may open."""
    top = [PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    beside = [PROJECT / folder / "README.md" for folder in ("data", "kubeflow", "schema")]
    return [*top, *beside, *sorted((PROJECT / "docs").rglob("*.md"))]


def name(page: Path) -> str:
    """Return a page's path within the project."""
    return str(page.relative_to(PROJECT))


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(name(page), text.count("\n", 0, found.start()) + 1, tuple(found["info"].split()), found["text"])
        for found in FENCE.finditer(text)
    ]


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and pictures that are no addresses of the web."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = [first or second for first, second in LINK.findall(text)]
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """Return what a link may name in a page: its headings, as GitHub and MyST write them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}
