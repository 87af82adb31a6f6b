"""Known failures: one line of text (what, where, wanted, got, what to do next) and the exit code they end with."""

from __future__ import annotations

from typing import Any, ClassVar


def printable(value: object) -> str:
    """Returns `value` as text with control characters escaped, so that a file name cannot forge a second line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(value))


class MnistTfxError(Exception):
    """A failure that its reader can act on; the command line prints it as one line and never as a traceback.

    Attributes:
      what: what is wrong, in a few words.
      where: the file, node or setting at fault.
      wanted: what would have been right.
      got: what was found instead.
      hint: the likely cause, or what to do next.
      report: JSON values behind the refusal, such as every check of a gate; no part of the line.
    """

    exit_code: ClassVar[int] = 2

    def __init__(  # noqa: PLR0913  # one argument to each part of the line, and what is behind it
        self,
        what: str,
        *,
        where: object = None,
        wanted: object = None,
        got: object = None,
        hint: str | None = None,
        report: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.wanted = wanted
        self.got = got
        self.hint = hint
        self.report = report

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        if self.wanted is not None:
            text += f": wanted {self.wanted}"
        if self.got is not None:
            text += f"{',' if self.wanted is not None else ':'} got {self.got}"
        if self.hint is not None:
            text += f": {self.hint}"
        return printable(text)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON values, with the class name under `kind`; `report` only where there is one."""
        fields = {k: None if v is None else str(v) for k, v in vars(self).items() if k != "report"}
        report = {} if self.report is None else {"report": self.report}
        return {"kind": type(self).__name__, **fields, **report}

    @staticmethod
    def from_dict(fields: dict[str, Any]) -> MnistTfxError:
        """Rebuilds an error that crossed a process boundary as `to_dict` wrote it."""
        fields = dict(fields)
        kind = {c.__name__: c for c in (BadInput, Refused, EnvironmentProblem)}[fields.pop("kind")]
        return kind(fields.pop("what"), **fields)


class BadInput(MnistTfxError):
    """Unusable data, settings or command line."""

    exit_code = 2


class Refused(MnistTfxError):
    """A gate, a check or the evaluation said no."""

    exit_code = 3


class EnvironmentProblem(MnistTfxError):
    """The machine, the disk, the metadata store or the installation is at fault."""

    exit_code = 4
