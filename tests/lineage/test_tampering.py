"""Seeded tamperings with a root: all found, the right file, record or line named; and no alarm without one."""

import random
import shutil
from pathlib import Path

import pytest
from lineage.audited_root import build
from lineage.tamperings import KINDS, names, swap_two_versions, tamper

from pipeline.lineage import chain
from pipeline.lineage.audit import run
from pipeline.lineage.audit.findings import FAIL, PASS
from pipeline.lineage.audit.store_reader import StoreReader
from pipeline.lineage.policy import Policy, default

FAST = 2 * len(KINDS)
ALL = 500


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("audited") / "root")


@pytest.fixture(scope="module")
def head(template) -> chain.Head:
    return chain.read(template / "ledger.jsonl").head


@pytest.fixture(scope="module")
def reader():
    """Asks all the stores, so that ml_metadata is imported once."""
    with StoreReader() as one:
        yield one


def findings(root: Path, head: chain.Head, reader: StoreReader, policy: Policy | None = None):
    audits = run.audit_all(root, run.Options(head=head, policy=policy or default()), reader)
    return [finding for audit in audits for finding in audit.findings if finding.level == FAIL]


def check_seed(
    seed: int, original: Path, root: Path, head: chain.Head, reader: StoreReader, policy: Policy | None = None
) -> None:
    shutil.copytree(original, root, symlinks=True)
    done, wanted = tamper(root, seed)
    found = [str(finding.where) for finding in findings(root, head, reader, policy)]
    assert any(names(where, wanted) for where in found), f"{done}: wanted {wanted}, got {found}"
    shutil.rmtree(root)


@pytest.mark.parametrize("seed", range(FAST))
def test_a_tampering_is_found_and_named(seed, template, head, reader, tmp_path):
    check_seed(seed, template, tmp_path / "root", head, reader)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(FAST, ALL, 43))
def test_more_tamperings_are_found_and_named(start, template, head, reader, tmp_path):
    for seed in range(start, min(start + 43, ALL)):
        check_seed(seed, template, tmp_path / f"root-{seed}", head, reader)


def clean_copy(original: Path, place: Path, rng: random.Random) -> Path:
    """Copies a root, moves it some times, touches some of its files and makes others read-only: nothing that counts."""
    shutil.copytree(original, place / "0", symlinks=True)
    moved = place / "0"
    for number in range(1, rng.randrange(1, 4)):
        moved = moved.rename(place / f"{number} \N{LATIN SMALL LETTER E WITH ACUTE}")
    for path in rng.sample(sorted(p for p in moved.rglob("*") if p.is_file()), 5):
        path.touch()
        path.chmod(0o444)
    return moved


def test_copies_and_moves_of_a_root_raise_no_alarm(template, head, reader, tmp_path):
    for seed in range(100):
        root = clean_copy(template, tmp_path / str(seed), random.Random(seed))
        audits = run.audit_all(root, run.Options(head=head), reader)
        assert [set(audit.verdicts.values()) for audit in audits] == [{PASS}, {PASS}], audits
        shutil.rmtree(tmp_path / str(seed))


# A checkout that is being worked on is dirty, and its runs say so.
ANY_TREE = Policy.from_dict({"version": 1, "rules": {"clean_tree": "off"}})


@pytest.mark.slow
@pytest.mark.e2e
def test_tamperings_with_a_real_run_are_found_and_named(first_run, reader, tmp_path):
    original = first_run[0]
    head = chain.read(original / "ledger.jsonl").head
    assert findings(original, head, reader, ANY_TREE) == []
    for seed in range(2 * len(KINDS)):
        # One version alone cannot be swapped with another one.
        if KINDS[seed % len(KINDS)] is not swap_two_versions:
            check_seed(seed, original, tmp_path / f"root-{seed}", head, reader, ANY_TREE)
