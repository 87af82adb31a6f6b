"""Commands that a message offers, completed from the command line that was given, so that they can be copied."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from components.errors import AGAIN, printable
from pipeline.cli.parsing import COMMAND

PROGRAM: Final = "mnist-tfx"
OF_DATA: Final = ("--data", "--label", "--label-offset", "--transpose")
"""Options that say how data are read, and so belong to every command that reads them."""

FLAGS: Final = frozenset(
    {"--json", "--no-cache", "--dry-run", "-v", "--verbose", "--resume", "--rebuild", "--transpose"}
)
REPEATABLE: Final = frozenset({"--data", "--force", "--beam-option"})
NAMED: Final = frozenset({"--set", "--sweep"})
"""Options that may be repeated with other names: `--set NAME=VALUE`."""

METADATA: Final = "--metadata"
UNREPEATED: Final = frozenset({"--on-failure"})
"""Options that no offered command has: who copies one sees how it ends, and theirs may hold a token."""

Option = tuple[str, str | None]


def program() -> str:
    """Return this program as it was called: `make run` has it in .venv/bin."""
    return shlex.quote(sys.argv[0]) if Path(sys.argv[0]).name == PROGRAM else PROGRAM


def complete(command: str) -> str:
    """Return an offered command with what the user gave in place of `...`; a remark after ` # ` stays."""
    line, mark, remark = command.partition(" # ")
    if COMMAND.get() == "run":
        given = list(_options(sys.argv[2:]))
        verb, _, more = line.removeprefix(f"{PROGRAM} ").partition(" ...")
        if line.startswith(AGAIN):
            line = _joined(verb, _without(given, more), more)
        elif verb == "schema propose":
            line = _joined(verb, [option for option in given if option[0] in OF_DATA], more)
        elif verb == "data inspect":
            line = _joined(verb, [(value or "", None) for name, value in given if name == "--data"], more)
    if line.startswith(f"{PROGRAM} "):
        line = f"{program()} {line.removeprefix(f'{PROGRAM} ')}"
    return printable(f"{line}{mark}{remark}")


def _joined(verb: str, options: Iterable[Option], more: str = "") -> str:
    words = [word for name, value in options for word in (name, value) if word is not None]
    return f"{PROGRAM} {verb} {shlex.join(words)}".rstrip() + more


def _options(arguments: Sequence[str]) -> Iterator[Option]:
    """Yield the options of `run`, each with its value: it takes no other arguments."""
    rest = iter(arguments)
    for word in rest:
        name, equals, value = word.partition("=")
        option = (
            (name, value) if equals and name.startswith("--") else (word, None if word in FLAGS else next(rest, None))
        )
        if option[0] not in UNREPEATED:
            yield option[0], _without_password(option)


def _without_password(option: Option) -> str | None:
    """Return the value of an option; an address without its password, which is asked for of the environment."""
    name, value = option
    if name != METADATA or value is None:
        return value
    from pipeline.metadata.address import parse_address

    return str(parse_address(value))


def _without(given: Iterable[Option], added: str) -> Iterator[Option]:
    """Yield the options that were given, but for those that the added ones replace, and `--json`."""
    new = list(_options(shlex.split(added)))
    replaced = {name for name, _ in new if name not in REPEATABLE | NAMED}
    keys = {(name, _key(value)) for name, value in new if name in NAMED}
    for name, value in given:
        if name not in replaced and name != "--json" and (name, _key(value)) not in keys:
            yield name, value


def _key(value: str | None) -> str:
    return str(value).partition("=")[0]
