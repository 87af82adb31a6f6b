"""Base class and field types of the answers' models."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """A JSON object with exactly these fields."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        defer_build=True,  # an answer needs the validators of one command, not those of all
        regex_engine="python-re",  # `records.RelativePath` looks ahead, which Rust's engine does not
        use_attribute_docstrings=True,
    )


Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""A SHA-256, in hex."""

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]
Version = Annotated[int, Field(ge=0)]
"""Of a served model: the name of its folder."""


class Problem(Model):
    """One thing that is wrong, in the parts of the line on standard error."""

    what: str
    where: str | None
    """The file, node or setting at fault."""
    wanted: str | None
    got: str | None
    hint: str | None
    """The likely cause, or what to do next."""


class Error(Problem):
    """Why a command did not do all its work."""

    facts: list[str]
    """What a refusal rests on, a sentence to each."""
    commands: list[str]
    """Command lines that lead out of it, in their order; a remark may follow after ` # `."""
    page: str | None
    """The file with everything else that was looked at."""
    signal: Annotated[str, Field(pattern="^SIG[A-Z0-9]+$")] | None
    """What interrupted it."""
    problems: list[Problem]
    """Each of several; empty where there is one, which the other fields tell."""
