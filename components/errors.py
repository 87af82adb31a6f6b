"""Known failures: one line of text (what, where, wanted, got, what to do next) and the exit code they end with."""

from __future__ import annotations

import contextlib
import enum
import re
import signal
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

from typing_extensions import Self

LONGEST: Final = 400
"""Characters of one part of a message that are shown; a value that somebody else wrote can be of any length."""

LONGEST_SENTENCE: Final = 1000
"""Characters of the parts that we word, what is wrong and what to do; values within them are cut where they are put in."""


class ExitCode(enum.IntEnum):
    """Every exit code of the command line, with the `status` of the answer that ends with it.

    `docs/reference/exit-codes.md` is this table.
    """

    OK = 0, "ok", "done; of an audit: all verdicts are PASS"
    FINDINGS = 1, "findings", "an audit or a check found something"
    BAD_INPUT = 2, "usage", "unusable data, settings, paths or command line"
    REFUSED = 3, "refused", "a gate, a check or the evaluation refused"
    ENVIRONMENT = 4, "environment", "the machine, the disk, the metadata store or the installation is at fault"
    CANNOT_TELL = 5, "unknown", "the question has an answer, but not from what there is to read; never a guess"
    OUTPUT_LOST = 6, "output_lost", "the work is done and recorded, but what was printed about it could not be written"
    INTERRUPTED = 130, "interrupted", "ended by Ctrl-C (SIGINT), and settled"
    TERMINATED = 143, "interrupted", "ended by SIGTERM, and settled"

    status: str
    meaning: str

    def __new__(cls, value: int, status: str, meaning: str) -> Self:
        """Attach status and meaning to a code."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.status = status
        member.meaning = meaning
        return member

    @classmethod
    def of(cls, status: str, signal_name: str | None = None) -> int:
        """Return the exit code of an answer: 128 plus the signal's number if it was interrupted, as in a shell."""
        if signal_name is not None:
            return 128 + signal.Signals[signal_name]
        return next(code for code in cls if code.status == status)


_PASSWORD: Final = re.compile(r"(//[^/\s@:]*):\S+@")
"""In an address. Up to the last `@`: who forgets to escape a password has one that may hold any character."""


def printable(value: object) -> str:
    """Return `value` as text in one line and without an address's password.

    Control characters are escaped, so that a file name cannot forge a second line. A password comes here with an address
    that was given in a wrong place, where nobody knows it for one.
    """
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(value))
    return without_passwords(text)


def without_passwords(text: str) -> str:
    """Return a text with `***` for the password of each address in it."""
    return _PASSWORD.sub(r"\1:***@", text) if "@" in text else text


def shortened(value: object, longest: int = LONGEST) -> str:
    """Return `value` as printable text of at most `longest` characters: beginning, how much is left out, end."""
    text = str(value)
    if len(text) <= longest:
        # Escapes can lengthen it again; that is bounded, at ten characters for one.
        return printable(text)
    text = without_passwords(text)  # before it is cut: half of an address is none
    head, tail = longest * 2 // 3, longest // 6
    return f"{printable(text[:head])}... ({len(text) - head - tail} more characters) ...{printable(text[-tail:])}"


PARTS: Final = ("what", "where", "wanted", "got", "hint")
"""Parts of a message that are texts."""

LISTS: Final = ("facts", "commands")
"""Parts of a message that are lists of texts."""

AGAIN: Final = "mnist-tfx run ..."
"""In a command: the command line that was refused, which only the command line itself knows."""

EMPTY: Final = "''"
"""What a message repeats where the value is an empty text."""


class MnistTfxError(Exception):
    """A failure that its reader can act on; the command line prints it as one line and never as a traceback.

    Attributes:
      what: what is wrong, in a few words.
      where: the file, node or setting at fault.
      wanted: what would have been right.
      got: what was found instead.
      hint: the likely cause, or what to do next.
      facts: at most three observations behind it, a sentence to each, for a refusal that rests on measurements.
      commands: at most three command lines that lead out of it, in their order; `AGAIN` stands for the one that was
        given. A remark may follow after a `#` between spaces.
      page: the file with everything else that is known about it; set by whoever writes that file.
      report: JSON values behind the refusal, such as every check of a gate; no part of the line.
      problems: the errors that it stands for, where it stands for several.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.BAD_INPUT
    problems: tuple[MnistTfxError, ...] = ()
    page: str | None = None

    def __init__(  # noqa: PLR0913  # one argument to each part of the line, and what is behind it
        self,
        what: str,
        *,
        where: object = None,
        wanted: object = None,
        got: object = None,
        hint: str | None = None,
        facts: Sequence[str] = (),
        commands: Sequence[str] = (),
        report: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.wanted = wanted
        self.got = got
        self.hint = hint
        self.facts = tuple(facts)
        self.commands = tuple(commands)
        self.report = report

    @property
    def cause(self) -> str:
        """What is wrong and where, wanted and got, in one sentence: all but facts, hint and commands."""
        text = (
            shortened(self.what, LONGEST_SENTENCE)
            if self.where is None
            else f"{shortened(self.where)}: {shortened(self.what, LONGEST_SENTENCE)}"
        )
        if self.wanted is not None:
            text += f": wanted {shortened(self.wanted)}"
        if self.got is not None:
            text += f"{',' if self.wanted is not None else ':'} got {shortened(self.got) or EMPTY}"
        return text

    def __str__(self) -> str:
        text = self.cause
        if self.facts:
            text += f": {'; '.join(map(shortened, self.facts))}"
        if self.hint is not None:
            text += f": {shortened(self.hint, LONGEST_SENTENCE)}"
        if self.commands:
            text += f": try `{'`, then `'.join(shortened(one.partition(' # ')[0]) for one in self.commands)}`"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, with the class name under `kind`; lists and `report` only where there are any."""
        fields = {part: None if (value := getattr(self, part)) is None else str(value) for part in PARTS}
        lists = {name: list(texts) for name in LISTS if (texts := getattr(self, name))}
        report = {} if self.report is None else {"report": self.report}
        return {"kind": type(self).__name__, **fields, **lists, **report}

    @classmethod
    def of_several(cls, problems: Sequence[MnistTfxError]) -> MnistTfxError:
        """Return one error of this class that stands for several and says them all; a single one stays as it is."""
        if len(problems) == 1:
            return problems[0]
        error = cls("; ".join(map(str, problems)))
        error.problems = tuple(problems)
        return error

    @staticmethod
    def from_dict(fields: dict[str, Any]) -> MnistTfxError:
        """Rebuild an error that crossed a process boundary as `to_dict` wrote it."""
        fields = dict(fields)
        kind = {c.__name__: c for c in (BadInput, Refused, EnvironmentProblem, CannotTell)}[fields.pop("kind")]
        return kind(fields.pop("what"), **fields)


class BadInput(MnistTfxError):
    """Unusable data, settings or command line."""

    exit_code = ExitCode.BAD_INPUT


class SeveralProblems(BadInput):
    """Several things that are wrong with one input, so that nobody mends them one try at a time.

    Attributes:
      problems: one error each; its text is a line of the message.
    """

    def __init__(self, problems: Sequence[MnistTfxError]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n  ".join((f"{len(self.problems)} problems, and nothing was done", *map(str, self.problems)))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of one `BadInput` that says it all in one line."""
        return BadInput(self.what).to_dict()


class Problems:
    """Collects bad input, to be raised together once everything has been looked at."""

    def __init__(self) -> None:
        self.found: list[MnistTfxError] = []

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Keep the `BadInput` that ends the block, and goes on after it."""
        try:
            yield
        except SeveralProblems as several:
            self.found += several.problems
        except BadInput as one:
            self.found.append(one)

    def raise_any(self) -> None:
        """Raise what was found.

        Raises:
          BadInput: if it is one problem.
          SeveralProblems: if there are more.
        """
        # Two options that depend on the same wrong value say the same.
        unlike = list({str(problem): problem for problem in self.found}.values())
        if unlike:
            raise unlike[0] if len(unlike) == 1 else SeveralProblems(unlike)


class Refused(MnistTfxError):
    """A gate, a check or the evaluation said no."""

    exit_code = ExitCode.REFUSED


class EnvironmentProblem(MnistTfxError):
    """The machine, the disk, the metadata store or the installation is at fault."""

    exit_code = ExitCode.ENVIRONMENT


class CannotTell(MnistTfxError):
    """The question is fair, but what there is to read does not answer it; the hint names the command that can."""

    exit_code = ExitCode.CANNOT_TELL
