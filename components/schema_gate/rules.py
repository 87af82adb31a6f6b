"""The gate's rules: every check with its value and threshold; pure, so that a report can judge again.

Anomalies, presence, shape, range and the number of rows always stop the run, and so do classes without rows to train or
to test on: whatever was trained then, the evaluation would refuse. Drift, skew, conflicts, leaks and duplicates do what
`GateSettings` says, and are counted whatever it says.
"""

from __future__ import annotations

import dataclasses
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from components.errors import BadInput
from components.features import IMAGE, LABEL, TEST, TRAIN
from components.profile import ASPECTS, Distance, Reference, distance, means
from components.schema_gate.cause import likely_cause
from components.schema_gate.check import Check
from components.schema_gate.diagnosis import EMPTY_CLASS, FEW_ROWS
from components.schema_gate.row_counts import count_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tensorflow_metadata.proto.v0 import statistics_pb2

    from components.schema_gate.evidence import Evidence, SplitEvidence
    from components.schema_gate.row_counts import Index, RowCounts
    from components.settings import Action, DataSettings, GateSettings

MISSING_CLASS_ODDS: Final = 14.0
"""A class expected this often is absent by chance with probability e^-14, less than once in a million splits."""

FEWEST: Final = 2
"""Rows of a class in train below which there is nothing to learn from."""

FEW: Final = 10
"""Rows of a class in train below which its figures mean little."""

REFUSE: Final[Action] = "refuse"
WARN: Final[Action] = "warn"

FEW_IN_ALL: Final = 50
"""Rows of all splits together, alike."""

MOST_CLASSES: Final = 10
"""Classes that a sentence names."""

BOTH: Final = f"{IMAGE}+{LABEL}"
PLACES: Final = {"rows": "image row", "columns": "image column", "pixels": "pixel", "classes": "class"}
FEATURES: Final = {"rows": IMAGE, "columns": IMAGE, "pixels": IMAGE, "classes": LABEL}


def judge(evidence: Evidence, gates: GateSettings, data: DataSettings) -> list[Check]:
    """Return every check of every split, the gravest rules first.

    Raises:
      BadInput: when the reference is of another geometry than `data`.
    """
    if evidence.reference.geometry != data.geometry:
        raise BadInput(
            "reviewed for another geometry",
            where="reference profile",
            wanted=data.geometry,
            got=evidence.reference.geometry,
        )
    checks: list[Check] = []
    for split, found in evidence.splits.items():
        checks += anomaly_checks(split, found)
        checks += statistics_checks(split, found, data)
    profiles = {split: found.profile for split, found in evidence.splits.items() if found.profile["rows"]}
    checks += [class_check(split, found, data) for split, found in profiles.items() if split in (TRAIN, TEST)]
    checks += few_rows_checks(profiles, data)
    checks += drift_checks(profiles, evidence.reference, gates, names=data.names)
    checks += skew_checks(profiles, evidence.reference, gates, names=data.names)
    checks += row_checks({split: found.index for split, found in evidence.splits.items()}, gates)
    return checks


def anomaly_checks(split: str, found: SplitEvidence) -> Iterator[Check]:
    """Yield one failed check for each anomaly that TFDV found, or one passed check."""
    if found.anomalies is None:
        return
    infos = sorted(found.anomalies.anomaly_info.items())
    if found.anomalies.HasField("dataset_anomaly_info"):
        infos.append(("dataset", found.anomalies.dataset_anomaly_info))
    if not infos:
        yield Check(rule="anomaly", split=split, feature=BOTH, value=0, detail="none against the schema")
    for feature, info in infos:
        detail = f"{info.short_description}: {info.description}"
        yield Check(rule="anomaly", split=split, feature=feature, value=1, detail=detail)


def statistics_checks(split: str, found: SplitEvidence, data: DataSettings) -> Iterator[Check]:
    """Yield checks of presence, shape and range by the statistics, and of the number of rows by all that count them."""
    rows = {
        "statistics": found.statistics.num_examples,
        "profile": found.profile["rows"],
        "row index": len(found.index),
    }
    wrong = len(set(rows.values())) > 1 or not found.profile["rows"]
    seen = ", ".join(f"{count:g} by {name}" for name, count in rows.items())
    yield Check(rule="rows", split=split, feature=BOTH, value=int(wrong), detail=f"rows: {seen}")
    features = {(f.path.step[0] if f.path.step else f.name): f.num_stats for f in found.statistics.features}
    wanted = ((IMAGE, data.pixels, data.pixel_max), (LABEL, 1, data.label_count - 1))
    for name, length, largest in wanted:
        if name in features:
            yield from feature_checks(split, name, features[name], (length, largest))
        else:
            yield Check(rule="presence", split=split, feature=name, value=1, detail="not in the statistics")


def feature_checks(
    split: str, name: str, stats: statistics_pb2.NumericStatistics, wanted: tuple[int, int]
) -> Iterator[Check]:
    """Yield checks of presence, shape and range of one feature.

    Args:
      split: for the message.
      name: of the feature.
      stats: of it.
      wanted: values in a row, and the largest value.
    """
    length, largest = wanted
    common = stats.common_stats
    missing = common.num_missing
    yield Check(rule="presence", split=split, feature=name, value=missing, detail=f"missing in {missing} rows")
    shape = (common.min_num_values, common.max_num_values)
    detail = f"{shape[0]} to {shape[1]} values in a row, wanted {length}"
    yield Check(rule="shape", split=split, feature=name, value=int(shape != (length, length)), detail=detail)
    outside = max(stats.max - largest, 0 - stats.min, 0)
    detail = f"values from {stats.min:g} to {stats.max:g}, allowed 0 to {largest}"
    yield Check(rule="range", split=split, feature=name, value=outside, detail=detail)


def few_rows_checks(profiles: Mapping[str, Mapping[str, Any]], data: DataSettings) -> list[Check]:
    """Return whether there are rows enough, in all and of each class in train.

    Args:
      profiles: {split: profile}, each with rows.
      data: names the classes.
    """
    rows = sum(found["rows"] for found in profiles.values())
    detail = (
        f"only {rows} rows in all: too few to train, validate and test a model" if rows < FEW_IN_ALL else f"{rows} rows"
    )
    checks = [
        Check(
            rule=FEW_ROWS,
            split="+".join(profiles),
            feature=BOTH,
            value=max(0, FEW_IN_ALL - rows),
            action="warn",
            detail=detail,
        )
    ]
    if TRAIN in profiles:
        checks += [_few_of_a_class(profiles[TRAIN], data, fewest, to) for fewest, to in ((FEWEST, REFUSE), (FEW, WARN))]
    return checks


def _few_of_a_class(found: Mapping[str, Any], data: DataSettings, fewest: int, action: Action) -> Check:
    # A class without any is another finding, and may be declared.
    few = [k for k, count in enumerate(found["classes"]) if 0 < count < fewest]
    seen = ", ".join(f"{found['classes'][k]} of class {data.names[k]}" for k in few)
    detail = f"too few rows in train: {seen}; at least {fewest} of a class are " + (
        "needed" if action == REFUSE else "better"
    )
    return Check(
        rule=FEW_ROWS,
        split=TRAIN,
        feature=LABEL,
        value=len(few),
        action=action,
        detail=detail if few else f"every class has {fewest} rows",
        classes=tuple(few),
    )


def drift_checks(
    profiles: Mapping[str, Mapping[str, Any]], reference: Reference, gates: GateSettings, names: Sequence[str] = ()
) -> list[Check]:
    """Return how far each split is from the reviewed reference, and which classes it lacks.

    Args:
      profiles: {split: profile}, each with rows.
      reference: what was reviewed.
      gates: `thresholds` there replace the calibrated ones.
      names: of the classes, for the message; their numbers where there are none.
    """
    checks = []
    for split, found in profiles.items():
        checks += [drift_check(split, found, reference, aspect, gates, names=names) for aspect in ASPECTS]
        checks.append(_missing_classes(split, found, reference, gates, names))
    return checks


def drift_check(  # noqa: PLR0913  # one argument to each thing that is compared
    split: str,
    found: Mapping[str, Any],
    reference: Reference,
    aspect: str,
    gates: GateSettings,
    against: str = "the reviewed reference",
    names: Sequence[str] = (),
) -> Check:
    """Return how far some rows are from a reference in one of `ASPECTS`.

    Args:
      split: for the message.
      found: profile of the rows, of which there is at least one.
      reference: the profile and its thresholds.
      aspect: that is compared.
      gates: `thresholds` there replace the calibrated ones.
      against: what the reference is, for the message.
      names: of the classes, for the message.
    """
    own = gates.thresholds.model_dump().get(aspect)
    check = Check(
        rule="drift",
        split=split,
        feature=FEATURES[aspect],
        aspect=aspect,
        threshold=reference.thresholds[aspect].drift(found["rows"]) if own is None else own,
        action=gates.drift,
        **_apart(distance(found, reference.profile, aspect), aspect, against, names),
    )
    if check.passed or check.feature != IMAGE:
        return check
    return dataclasses.replace(check, cause=likely_cause(found, reference.profile))


def skew_checks(
    profiles: Mapping[str, Mapping[str, Any]], reference: Reference, gates: GateSettings, names: Sequence[str] = ()
) -> list[Check]:
    """Return how far each two splits are from each other, by thresholds tighter than those of drift together."""
    return [
        Check(
            rule="skew",
            split=f"{split}/{other}",
            feature=FEATURES[aspect],
            aspect=aspect,
            threshold=reference.thresholds[aspect].skew(found["rows"], others["rows"]),
            action=gates.skew,
            **_apart(distance(others, found, aspect), aspect, split, names),
        )
        for (split, found), (other, others) in combinations(profiles.items(), 2)
        for aspect in ASPECTS
    ]


def class_check(split: str, found: Mapping[str, Any], data: DataSettings) -> Check:
    """Return whether a split has rows of all classes but those declared empty, and of those none."""
    rows = found["classes"]
    lacking = [label for label, count in enumerate(rows) if not count and label not in data.empty]
    surplus = [label for label, count in enumerate(rows) if count and label in data.empty]
    detail = "; ".join(
        f"{what} {', '.join(data.names[label] for label in labels)}"
        for what, labels in (("no rows of class", lacking), ("rows of a class that is declared empty,", surplus))
        if labels
    )
    return Check(
        rule=EMPTY_CLASS,
        split=split,
        feature=LABEL,
        value=len(lacking) + len(surplus),
        detail=detail or "rows of every class that is not declared empty",
        classes=tuple(lacking),
    )


def _apart(apart: Distance, aspect: str, other: str, names: Sequence[str]) -> dict[str, Any]:
    """Return the fields `value` and `detail` of a check of a distance."""
    of_classes = aspect == "classes"
    place = f"{PLACES[aspect]} {names[apart.place] if of_classes and names else apart.place}"
    has = "a share of" if of_classes else "mean"
    detail = f"{place} has {has} {apart.seen:.4f}, {other} {apart.expected:.4f}"
    return {"value": apart.value, "detail": detail}


def _missing_classes(
    split: str, found: Mapping[str, Any], reference: Reference, gates: GateSettings, names: Sequence[str]
) -> Check:
    # In a small split the threshold on shares is too wide to see that a whole class is gone.
    expected = means(reference.profile, "classes") * found["rows"]
    missing = [k for k, count in enumerate(found["classes"]) if not count and expected[k] >= MISSING_CLASS_ODDS]
    named = {k: names[k] if names else str(k) for k in missing[:MOST_CLASSES]}
    seen = ", ".join(f"class {name} (about {expected[k]:.0f} expected)" for k, name in named.items())
    seen += f" and {len(missing) - MOST_CLASSES} more classes" if missing[MOST_CLASSES:] else ""
    detail = f"no rows of {seen}" if missing else "every class expected is there"
    return Check(
        rule="missing class", split=split, feature=LABEL, value=len(missing), action=gates.drift, detail=detail
    )


def row_checks(indexes: Mapping[str, Index], gates: GateSettings) -> list[Check]:
    """Return counts of duplicates in each split, of images with two labels anywhere, and of test rows seen in training.

    Args:
      indexes: {split: structured array with `row` and `pixels` (32-byte digests) and `label`, sorted by `row`}.
      gates: what each count leads to.
    """
    counts = count_rows(indexes)
    checks = [_duplicates(split, counts.duplicates[split], len(index), gates) for split, index in indexes.items()]
    checks.append(_conflicts(indexes, counts, gates))
    checks += [_leaks(split, counts, len(indexes[TEST]), gates) for split in counts.leaks]
    return checks


def _duplicates(split: str, count: int, rows: int, gates: GateSettings) -> Check:
    detail = f"{count} of {rows} rows repeat another with the same label"
    return Check(rule="duplicates", split=split, feature=BOTH, value=count, action=gates.duplicates, detail=detail)


def _conflicts(splits: Iterable[str], counts: RowCounts, gates: GateSettings) -> Check:
    detail = f"{counts.conflicts} images have more than one label"
    if counts.conflict is not None:
        image, labels = counts.conflict
        detail += f", such as {_name(image)} with labels {', '.join(map(str, labels))}"
    where, found = "+".join(splits), counts.conflicts
    return Check(rule="conflicts", split=where, feature=LABEL, value=found, action=gates.conflicts, detail=detail)


def _leaks(split: str, counts: RowCounts, rows: int, gates: GateSettings) -> Check:
    count = counts.leaks[split]
    detail = f"{count} of {rows} test images are in {split} too"
    if split in counts.leaked:
        detail += f", such as {_name(counts.leaked[split])}"
    return Check(rule="leaks", split=f"{split}/{TEST}", feature=IMAGE, value=count, action=gates.leaks, detail=detail)


def _name(pixels: bytes) -> str:
    return pixels.hex()[:12]
