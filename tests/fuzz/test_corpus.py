"""Files over which a reader stumbled once, and the first ones of each kind."""

from pathlib import Path

import pytest
from lineage.audited_copy import audited_copy

from fuzz.outcome import fault
from fuzz.targets import KINDS

CORPUS = Path(__file__).parent / "corpus"
FINDINGS = sorted(CORPUS.glob("*/*"))


def test_what_was_found_once_is_read_or_refused(tmp_path):
    kinds = {kind.replace(" ", "_"): kind for kind in KINDS}
    wrong = {path: fault(kinds[path.parent.name], path.read_bytes(), tmp_path) for path in FINDINGS}
    assert {path: found for path, found in wrong.items() if found is not None} == {}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return audited_copy(tmp_path_factory.mktemp("fuzz") / "root")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_as_it_should_be_is_no_fault(kind, built, tmp_path):
    assert fault(kind, KINDS[kind][0](built), tmp_path) is None
