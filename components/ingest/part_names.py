"""Parts of a data set by the names that folders and arrays have: train, test, or held out for validation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from components.features import TEST, TRAIN, VALIDATION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WORDS: Final = {
    **dict.fromkeys(("train", "training", "trn", "tr"), TRAIN),
    **dict.fromkeys(("test", "testing", "t10k", "tst", "eval", "evaluation"), TEST),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), VALIDATION),
}
_IMAGES: Final = frozenset(("images", "image", "imgs", "img", "x", "data", "pixels", "features", "inputs", "samples"))
_LABELS: Final = frozenset(("labels", "label", "y", "target", "targets", "class", "classes"))
_WORD: Final = re.compile(r"t10k|[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


def words(name: str) -> tuple[str, ...]:
    """Return the words in a name, in lower case: `x_train`, `trainX` and `Train-Images` have two."""
    return tuple(word.lower() for word in _WORD.findall(name))


def part_of(name: str) -> str | None:
    """Return the part that a name says; None where it says none, or several."""
    found = {_WORDS[word] for word in words(name) if word in _WORDS}
    return found.pop() if len(found) == 1 else None


def role_of(name: str) -> str | None:
    """Return `images` or `labels` as an array's name says; None where it says neither, or both."""
    said = frozenset(words(name))
    roles = {role for role, known in (("images", _IMAGES), ("labels", _LABELS)) if said & known}
    return roles.pop() if len(roles) == 1 else None


def others_in(name: str) -> str:
    """Return the words in a name that say neither part nor role."""
    return "-".join(word for word in words(name) if word not in _WORDS and word not in _IMAGES | _LABELS)


def assigned(found: Iterable[str]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Return {part as it was named: train or test} and what there is to say about that.

    The pipeline takes validation rows from the training part itself. So rows held out for validation are trained on where
    there are test rows, and are the test rows where there are no others.
    """
    parts = set(found)
    if VALIDATION not in parts:
        return {part: part for part in parts}, ()
    to = TRAIN if TEST in parts else TEST
    note = {
        TRAIN: "the validation part joins the training part: a run takes its validation rows from there",
        TEST: "the validation part is taken as the test part: there is no other",
    }[to]
    return {part: to if part == VALIDATION else part for part in parts}, (note,)
