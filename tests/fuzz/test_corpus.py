"""Files over which a reader stumbled once, and the first ones of each kind."""

from pathlib import Path

import pytest
from lineage.audited_copy import audited_copy

from fuzz.outcome import fault
from fuzz.targets import KINDS

CORPUS = Path(__file__).parent / "corpus"
# pytest would call an empty list a skipped test.
FINDINGS = sorted(CORPUS.glob("*/*"))


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_is_read_or_refused(path, tmp_path):
    kind = next(kind for kind in KINDS if kind.replace(" ", "_") == path.parent.name)
    assert fault(kind, path.read_bytes(), tmp_path) is None


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return audited_copy(tmp_path_factory.mktemp("fuzz") / "root")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_as_it_should_be_is_no_fault(kind, built, tmp_path):
    assert fault(kind, KINDS[kind][0](built), tmp_path) is None
