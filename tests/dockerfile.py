"""A Dockerfile's text -> its stages in order, each an instruction at a time, arguments filled in as a build does it."""

from __future__ import annotations

import dataclasses
import io
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping

from dockerfile_parse import DockerfileParser


@dataclasses.dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction, continued lines joined.

    Attributes:
      word: in upper case, as `RUN`.
      value: all behind it, variables filled in except in `RUN`, which the shell expands.
    """

    word: str
    value: str

    @property
    def words(self) -> list[str]:
        """The value without its options."""
        return [word for word in shlex.split(self.value) if not word.startswith("--")]

    def option(self, name: str) -> str | None:
        """Returns the value of `--name=value`."""
        found = re.search(rf"(?:^|\s)--{name}=(\S+)", self.value)
        return found[1] if found else None

    def pairs(self) -> dict[str, str]:
        """Returns what an `ENV` or a `LABEL` sets."""
        return dict(word.split("=", 1) for word in shlex.split(self.value))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """What one `FROM` opens.

    Attributes:
      name: as `AS` has it.
      base: an earlier stage's name, or an image.
      instructions: without the `FROM`.
    """

    name: str
    base: str
    instructions: tuple[Instruction, ...]


def stages(text: str, arguments: Mapping[str, str] | None = None) -> tuple[Stage, ...]:
    """Returns the stages; `arguments` are those of `--build-arg`.

    Raises:
      ValueError: for a stage without a name, which no rule and no error could point at.
    """
    given = arguments or {}
    found: list[Stage] = []
    defaults: dict[str, str] = {}
    variables: dict[str, str] = {}
    for word, value in _instructions(text):
        if word == "FROM":
            base, name = _from(_filled(value, defaults))
            variables = {}
            found.append(Stage(name=name, base=base, instructions=()))
            continue
        if word == "ARG":
            name, _, default = value.partition("=")
            (variables if found else defaults)[name] = given.get(name, default)
            continue
        instruction = Instruction(word=word, value=value if word == "RUN" else _filled(value, variables))
        found[-1] = dataclasses.replace(found[-1], instructions=(*found[-1].instructions, instruction))
    return tuple(found)


def ancestry(name: str, all_stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Returns the stage of that name and those it starts from, the first one first."""
    by_name = {stage.name: stage for stage in all_stages}
    chain = [by_name[name]]
    while chain[0].base in by_name:
        chain.insert(0, by_name[chain[0].base])
    return tuple(chain)


def inherited(name: str, all_stages: tuple[Stage, ...]) -> Iterator[Instruction]:
    """Yields the instructions of a stage behind those of the stages it starts from."""
    for stage in ancestry(name, all_stages):
        yield from stage.instructions


def environment(steps: Iterable[Instruction]) -> dict[str, str]:
    """Returns the variables that are set behind those instructions."""
    return {name: value for step in steps if step.word == "ENV" for name, value in step.pairs().items()}


def user(steps: Iterable[Instruction]) -> str:
    """Returns whom a command behind those instructions runs as."""
    return ["root", *(step.value for step in steps if step.word == "USER")][-1]


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    for entry in DockerfileParser(fileobj=io.BytesIO(text.encode())).structure:
        if entry["instruction"] != "COMMENT":
            yield entry["instruction"], entry["value"]


def _from(value: str) -> tuple[str, str]:
    found = re.fullmatch(r"(\S+)\s+AS\s+(\S+)", value, re.IGNORECASE)
    if found is None:
        raise ValueError(f"FROM {value}: wanted `FROM image AS name`")
    return found[1], found[2]


def _filled(value: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match[1], match[0]), value)
