"""Beam engines and their options, as checked arguments for the nodes that are Beam pipelines."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from components.errors import BadInput
from components.suggestions import closest, did_you_mean
from pipeline.config.beam_engines import DIRECT, ENGINES, PORTABLE, Engine

HELP: Final = "help"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chosen:
    """An engine and its options, checked.

    Attributes:
      engine: by name.
      arguments: for Beam; those of `portable` are complete once its service has started.
    """

    engine: str
    arguments: tuple[str, ...]


def choose(name: str, given: Sequence[str]) -> Chosen:
    """Check what was asked for.

    Args:
      name: of the engine.
      given: `NAME=VALUE` texts; of two with the same name the later one counts.

    Raises:
      BadInput: for an unknown engine, an unknown or a missing option, or a value of the wrong form.
    """
    engine = _engine(name)
    known = {option.name: option for option in engine.options}
    values = {option.name: option.default for option in engine.options if option.default is not None}
    for text in given:
        asked, _, value = text.partition("=")
        if asked not in known:
            wanted = f"one of {', '.join(known)}" if known else "none"
            raise BadInput(
                f"no such option of {name}",
                where="--beam-option",
                wanted=wanted,
                got=asked,
                hint=did_you_mean(closest(asked, known, str.lower)),
            )
        values[asked] = known[asked].checked(value, name)
    for option in engine.options:
        if option.required and option.name not in values:
            hint = f"such as --beam-option {option.name}={option.example}"
            raise BadInput(f"{name} needs {option.name}", where="--beam-option", wanted=option.help, hint=hint)
    told = [argument for asked, value in values.items() for argument in known[asked].arguments(value)]
    return Chosen(engine=name, arguments=(*engine.fixed, *told, *engine.check(values)))


def arguments(name: str, given: Sequence[str]) -> tuple[str, ...]:
    """Return what Beam is told by nodes that run on their own, as the containers of a compiled pipeline do.

    Raises:
      BadInput: as `choose`, and for `portable`.
    """
    if name == PORTABLE:
        raise BadInput(
            "its job service lives and ends with a local run",
            where=f"--beam {PORTABLE}",
            wanted="direct, flink, spark or dataflow",
            got=PORTABLE,
        )
    return choose(name, given).arguments


def engine_of(arguments: Sequence[str]) -> Engine | None:
    """Return the engine whose runner is named in Beam's arguments; None for one that is not in the table."""
    runner = next((text for text in arguments if text.startswith("--runner=")), None)
    return next((engine for engine in ENGINES.values() if runner in engine.fixed), None)


def _engine(name: str) -> Engine:
    if name == "dask":
        # Its translations stop at Create, ParDo, GroupByKey and Flatten, and its metrics are not implemented.
        raise BadInput(
            "Beam's Dask runner computes one result of a pipeline, and every Beam node of TFX has several",
            where="--beam",
            wanted=f"one of {', '.join(ENGINES)}",
            got=name,
        )
    if name not in ENGINES:
        raise BadInput(
            "no such engine",
            where="--beam",
            wanted=f"one of {', '.join(ENGINES)}",
            got=name,
            hint=did_you_mean(closest(name, ENGINES, str.lower)),
        )
    return ENGINES[name]


def describe(name: str | None) -> str:
    """Return what an engine's options are, for people; those of all engines for None.

    Raises:
      BadInput: for an unknown engine.
    """
    return "\n\n".join(map(_described, ENGINES.values() if name is None else [_engine(name)]))


def _described(engine: Engine) -> str:
    lines = [f"--beam {engine.name}: {engine.help}", *(() if engine.options else ("  takes no options",))]
    for option in engine.options:
        about = "; ".join(filter(None, (option.help, option.form.wanted, option.need)))
        lines.append(f"  {option.name}={option.example}\n      {about}")
    return "\n".join(lines)


BEAM_ARGS: Final = choose(DIRECT, ()).arguments
"""What every Beam node is told where no engine was asked for."""
