"""Diagnosis of a refusal: what is wrong with the data in one sentence, what shows it, and the commands that mend it.

The checks are the evidence; a reader wants the cause. So causes are tried from the one that explains the most: rows that
no schema allows, images that were changed as a whole, labels that begin at another number, too few rows, other data than
were reviewed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from components.errors import AGAIN, Refused
from components.features import IMAGE, LABEL, SPLITS
from components.schema_gate.cause import TRANSPOSED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from components.schema_gate.check import Check
    from components.settings import DataSettings

MOST_FACTS: Final = 3
"""Facts of a refusal: `gate.json` and the report have every check."""

FEWEST_CLASSES: Final = 2

FEW_ROWS: Final = "few rows"
EMPTY_CLASS: Final = "empty class"
STRUCTURE: Final = ("anomaly", "rows", "presence", "shape", "range")
"""Rules about single rows, without which no other rule means anything."""

BUILT_IN: Final = {"28x28-max255-labels10": "MNIST", "8x8-max16-labels10": "the UCI digits"}
"""What the references that come with the program are made from."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What is wrong, and the way out.

    Attributes:
      cause: one sentence, in the words of people who have the data.
      commands: at most three, as in `components.errors.MnistTfxError`.
    """

    cause: str
    commands: tuple[str, ...]


def refusal(checks: Sequence[Check], data: DataSettings, *, built_in: bool = True) -> Refused:
    """Return the error of a gate that does not open.

    Args:
      checks: all of them; at least one stops the run.
      data: geometry of the reviewed schema, and names of the classes.
      built_in: whether its reference is the program's own.
    """
    failed = [check for check in checks if not check.passed and check.action != "off"]
    stops = [check for check in failed if check.stops]
    about = BUILT_IN[data.geometry] if built_in and data.geometry in BUILT_IN else "its reviewed reference"
    found = diagnose(failed, data, about)
    return Refused(
        found.cause,
        where="SchemaGate",
        hint=f"{len(stops)} of {len(checks)} checks refused, and nothing was trained",
        facts=facts(stops, found.cause),
        commands=found.commands,
    )


def diagnose(failed: Sequence[Check], data: DataSettings, about: str) -> Diagnosis:
    """Return what is wrong with the data, by the first cause that explains it.

    Args:
      failed: the checks that did not pass; at least one stops.
      data: geometry of the reviewed schema, and names of the classes.
      about: what the rows are compared with.
    """
    return next(filter(None, (explain(failed, data, about) for explain in _EXPLANATIONS)))


def facts(stops: Sequence[Check], cause: str) -> list[str]:
    """Return what shows it: of each rule that stops, the check that is furthest beyond what it allows."""
    return [fact for fact in _facts(stops) if fact != cause][:MOST_FACTS]


def _structure(failed: Sequence[Check], data: DataSettings, about: str) -> Diagnosis | None:
    del about
    broken = [check for check in failed if check.stops and check.rule in STRUCTURE]
    if not broken:
        return None
    cause = f"the rows are not as the schema {data.geometry} has them: {broken[0]}"
    return Diagnosis(cause=cause, commands=("mnist-tfx data inspect ... # what the files hold",))


def _changed_images(failed: Sequence[Check], data: DataSettings, about: str) -> Diagnosis | None:
    del about
    # Splits may be changed unlike each other; each guess is said once.
    causes = dict.fromkeys(check.cause for check in failed if check.stops and check.cause)
    if not causes:
        return None
    cause = "; ".join(filter(None, causes))
    if all(str(one).endswith(TRANSPOSED) for one in causes):
        return Diagnosis(cause=cause, commands=(f"{AGAIN} --transpose # turns them upright",))
    return Diagnosis(cause=cause, commands=_own_schema(data, "if they are meant to be so"))


def _label_base(failed: Sequence[Check], data: DataSettings, about: str) -> Diagnosis | None:
    del about
    missing = [check.classes for check in _empty_classes(failed)]
    first = missing[0] if missing else ()
    count = data.label_count - len(first)
    # The same classes in train and test, and the lowest of all.
    if not first or set(missing) != {first} or first != tuple(range(len(first))) or count < FEWEST_CLASSES:
        return None
    lowest = data.label_offset + len(first)
    looks = "one-based" if lowest == 1 else f"as if they began at {lowest}"
    cause = f"no rows of class {_names(first, data)} in any split: the labels look {looks}"
    offset = f"{AGAIN} --label-offset {lowest} --set data.label_count={count} # with a schema of {count} labels"
    return Diagnosis(cause=cause, commands=(offset, _declared(first, data)))


def _few_rows(failed: Sequence[Check], data: DataSettings, about: str) -> Diagnosis | None:
    del data, about
    few = [check for check in failed if check.rule == FEW_ROWS]
    in_all = [check for check in few if not check.classes]
    if not any(check.stops for check in few) and not (in_all and _empty_classes(failed)):
        return None
    # Of fewer rows than a handful for each class, the number of all says more than what each class lacks.
    return Diagnosis(cause=few[0].detail, commands=("mnist-tfx data inspect ... # the rows of each class",))


def _missing_class(failed: Sequence[Check], data: DataSettings, about: str) -> Diagnosis | None:
    del about
    found = _empty_classes(failed)
    if not found:
        return None
    more = "mnist-tfx data inspect ... # the rows of each class"
    classes = sorted({k for check in found for k in check.classes})
    splits = " and ".join(split for split in SPLITS if split in {check.split for check in found})
    left = [k for k in range(data.label_count) if k not in classes]
    if not classes:
        return Diagnosis(cause=f"{found[0].detail} in {splits}", commands=(more,))
    if len(left) < FEWEST_CLASSES:
        there = _names(left, data) or "none"
        return Diagnosis(cause=f"no rows of any class but {there} in {splits}", commands=(more,))
    cause = f"no rows of class{'es' if classes[1:] else ''} {_names(classes, data)} in {splits}"
    return Diagnosis(cause=cause, commands=(more, _declared(classes, data)))


def _empty_classes(failed: Sequence[Check]) -> list[Check]:
    return [check for check in failed if check.rule == EMPTY_CLASS]


def _names(classes: Sequence[int], data: DataSettings) -> str:
    return ", ".join(data.names[k] for k in classes)


def _declared(classes: Sequence[int], data: DataSettings) -> str:
    labels = ", ".join(str(k + data.label_offset) for k in sorted({*classes, *data.empty}))
    these = "them" if classes[1:] else "it"
    return f"{AGAIN} --set 'data.empty_classes=[{labels}]' # if no row is to have {these}"


def _other_data(failed: Sequence[Check], data: DataSettings, about: str) -> Diagnosis | None:
    drifted = [check for check in failed if check.stops and check.rule == "drift"]
    if not drifted:
        return None
    if any(check.feature == IMAGE for check in drifted):
        cause = f"images of the geometry {data.geometry}, but unlike {about}: they are other data"
        return Diagnosis(cause=cause, commands=_own_schema(data, "a schema of their own"))
    cause = f"the classes are not as frequent as in {about}"
    warn = f"{AGAIN} --set gates.drift=warn # trains on them all the same"
    return Diagnosis(cause=cause, commands=(*_own_schema(data, "if they are meant to be so")[:2], warn))


def _between_rows(failed: Sequence[Check], data: DataSettings, about: str) -> Diagnosis | None:
    """Explain what is left by the first check: splits that are unlike each other, and rows that repeat others."""
    del data, about
    first = next(check for check in failed if check.stops)
    cause = f"{first.split.replace('/', ' and ')} are unlike each other" if first.rule == "skew" else first.detail
    return Diagnosis(cause=cause, commands=(f"{AGAIN} --set gates.{first.rule}=warn # if it is meant to be so",))


_EXPLANATIONS: Final = (
    _structure,
    _changed_images,
    _label_base,
    _few_rows,
    _missing_class,
    _other_data,
    _between_rows,
)


def _own_schema(data: DataSettings, why: str) -> tuple[str, ...]:
    height, width = data.file_shape
    options = f"--shape {height} {width} --pixel-max {data.pixel_max} --labels {data.label_count}"
    return (
        f"mnist-tfx schema propose ... {options} # {why}",
        f"mnist-tfx schema approve schema-drafts/{data.geometry}.pbtxt # once you have looked at it",
        f"{AGAIN} --schema schemas",
    )


def _facts(stops: Sequence[Check]) -> Iterator[str]:
    """Yield one fact for each rule that refused: of the check that is furthest beyond what it allows."""
    worst: dict[str, Check] = {}
    gone = any(check.rule == EMPTY_CLASS for check in stops)
    for check in stops:
        # The share of a class that is not there is no news, and the cause has its name.
        if not (gone and check.feature == LABEL and (check.aspect is not None or check.rule == EMPTY_CLASS)):
            worst[check.rule] = max(worst.get(check.rule, check), check, key=_beyond)
    yield from (_in_words(check) for check in worst.values())


def _beyond(check: Check) -> float:
    return check.value / (check.threshold or 1)


def _in_words(check: Check) -> str:
    if check.rule in (FEW_ROWS, "leaks", "conflicts"):
        return check.detail  # names its splits itself
    where = f"in {check.split.replace('/', ' and ')}, {check.detail}"
    apart = f": {check.value:.4f} apart, {check.threshold:.4f} allowed"
    return where if check.aspect is None else f"{where}{apart}"
