"""One `NAME=VALUE` option of a Beam engine, checked, under Beam's own name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Final

from components.errors import BadInput


@dataclasses.dataclass(frozen=True)
class Form:
    """What a value has to look like: in words, and as a regular expression for the whole of it."""

    wanted: str
    pattern: str


def one_of(*values: str) -> Form:
    """Return the form of one of some values."""
    return Form(" or ".join(values), "|".join(map(re.escape, values)))


TEXT: Final = Form("a text without blanks", r"\S+")
VERSION: Final = Form("one that the installed Beam has", r"\S+")
LIST: Final = Form("texts with commas between", r"[^\s,]+(,[^\s,]+)*")
COUNT: Final = Form("a whole number from 1", r"[1-9]\d*")
COUNT_OR_ALL: Final = Form("a whole number, 0 for all cores", r"0|[1-9]\d*")
MILLISECONDS: Final = Form("milliseconds", r"\d+")
FLAG: Final = one_of("true", "false")
ADDRESS: Final = Form("host:port", r"[^\s/:]+:\d+")
URL: Final = Form("http://host:port", r"(https?://)?[^\s/:]+:\d+")
GCS: Final = Form("gs://bucket/folder", r"gs://[^/\s]+(/\S*)?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """One option of an engine; its name is Beam's own.

    Attributes:
      name: without the dashes.
      help: a line about it.
      form: what a value has to look like.
      example: a value.
      required: whether the engine does without.
      default: what is passed on where nothing is said; None leaves it to Beam.
      known: asks the installed Beam for the values that it takes.
      own: whether only a runner of ours, or Beam's Java, knows it. It is told as an experiment: of any other argument
        that its Python does not know Beam warns in every node.
    """

    name: str
    help: str
    form: Form
    example: str
    required: bool = False
    default: str | None = None
    known: Callable[[], Sequence[str]] | None = None
    own: bool = False

    def checked(self, value: str, engine: str) -> str:
        """Return `value`.

        Raises:
          BadInput: if it has another form, or the installed Beam does not know it.
        """
        known = None if self.known is None else tuple(self.known())
        if re.fullmatch(self.form.pattern, value) is None or (known is not None and value not in known):
            wanted = self.form.wanted if known is None else f"{self.form.wanted}: {', '.join(known)}"
            where, hint = f"--beam-option {self.name}", f"such as {self.name}={self.example}"
            raise BadInput(f"no such value for {engine}", where=where, wanted=wanted, got=value, hint=hint)
        return value

    def arguments(self, value: str) -> tuple[str, ...]:
        """Return how Beam is told."""
        if self.own:
            return (f"--experiments={self.name}={value}",)
        if self.form is FLAG:
            return (f"--{self.name}",) if value == "true" else ()
        if self.form is LIST:
            return tuple(f"--{self.name}={entry}" for entry in value.split(","))
        return (f"--{self.name}={value}",)

    @property
    def need(self) -> str:
        """Say whether it has to be given, and what it is if it is not."""
        return "required" if self.required else "" if self.default is None else f"default {self.default}"
