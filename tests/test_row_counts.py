"""What the gate counts over row indexes is what plain sets and counters give, however little is held at a time."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import EnvironmentProblem
from components.features import SPLITS, TEST
from components.ingest.rows import INDEX, by_digest
from components.schema_gate import row_counts
from components.schema_gate.row_counts import count_rows


def index_of(rows):
    """Rows are (pixels, label); equal rows have equal row digests, which are in another order than the pixels."""
    index = np.zeros(len(rows), INDEX)
    digests = [bytes([(pixels[0] * 37 + label * 101) % 256, label, *pixels[:29], pixels[-1]]) for pixels, label in rows]
    index["row"] = np.frombuffer(b"".join(digests), "V32")
    index["pixels"] = np.frombuffer(b"".join(pixels for pixels, _ in rows), "V32")
    index["label"] = [label for _, label in rows]
    return by_digest(index)


def counted(indexes):
    """The same counts, from all rows at once."""
    rows = {s: [(row["pixels"].tobytes(), int(row["label"])) for row in index] for s, index in indexes.items()}
    labels = defaultdict(set)
    for image, label in (row for own in rows.values() for row in own):
        labels[image].add(label)
    torn = sorted(image for image, given in labels.items() if len(given) > 1)
    images = {split: {image for image, _ in own} for split, own in rows.items()}
    leaked = {s: [i for i, _ in rows[TEST] if i in images[s]] for s in rows if s != TEST} if TEST in rows else {}
    return {
        "duplicates": {split: len(own) - len(Counter(own)) for split, own in rows.items()},
        "conflicts": len(torn),
        "conflict": (torn[0], sorted(labels[torn[0]])) if torn else None,
        "leaks": {split: len(found) for split, found in leaked.items()},
        "leaked": {split: found[0] for split, found in leaked.items() if found},
    }


IMAGES = [bytes([first, *([0] * 30), last]) for first in (0, 1, 127, 255) for last in (0, 7)]
ROWS = st.lists(st.tuples(st.sampled_from(IMAGES), st.integers(0, 2)), max_size=25)


@given(rows=st.tuples(ROWS, ROWS, ROWS), block=st.integers(1, 30), held=st.integers(1, 80), splits=st.integers(1, 3))
def test_counts_are_those_of_all_rows_at_once(rows, block, held, splits):
    indexes = {split: index_of(own) for split, own in zip(SPLITS[-splits:], rows, strict=False)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_counts, "BLOCK", block)
        patch.setattr(row_counts, "HELD", held)
        assert vars(count_rows(indexes)) == counted(indexes)


def test_an_index_that_is_not_sorted_is_not_counted():
    with pytest.raises(EnvironmentProblem, match="train: a row index is not sorted"):
        count_rows({"train": index_of([(image, 0) for image in IMAGES])[::-1]})
