"""Every command that a page shows, executed in the order of the page, with the exit code that the page gives it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import object_store
import pytest
from docs.pages import PROJECT

from docs import pages

BIN = Path(sys.executable).parent
PAGES = [page for page in pages.pages() if any(not block.marks for block in pages.blocks(page) if [*block.commands()])]

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def folder(first_run, tmp_path):
    """A reader's folder: `runs/digits` is there, as `mnist-tfx run` has left it."""
    shutil.copytree(first_run[0], tmp_path / "runs" / "digits", symlinks=True)
    return tmp_path


@pytest.fixture
def stored(request, page, tmp_path):
    """The environment in which the one page that reads a bucket finds it."""
    if page.stem != "object-stores":
        return {}
    endpoint = request.getfixturevalue("s3_server")
    bucket = object_store.make_bucket(endpoint, tmp_path / "cache", "my-bucket")
    bucket.put_folder("digits", request.getfixturevalue("digits_folder"))
    return {**bucket.env, "HOME": str(tmp_path)}


@pytest.fixture(scope="module")
def s3_server():
    with object_store.server() as endpoint:
        yield endpoint


def execute(shown, folder, stored):
    environment = {**os.environ, **stored, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(PROJECT)}
    return subprocess.run(
        ["bash", "-c", shown.text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


def allowed(shown):
    """Returns the exit codes that a command may have: code that is not committed breaks a rule of the audit's policy."""
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=PROJECT, capture_output=True, check=True).stdout
    return {shown.exit_code, 1} if changed and " audit" in shown.text else {shown.exit_code}


def shape(line):
    """Returns a line without what differs from run to run: figures, digests, times, paths before `runs/` and the reasons of a plan."""
    words = re.sub(r"\b[0-9a-f]{12,}\b|[\d.,:]*\d[\d.,:TZ]*", "0", line)
    return " ".join(re.sub(r"\S*/(?=runs/|\.?venv/|bin/)", "", words).split())


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_what_a_page_shows_can_be_done(page, folder, stored):
    for block in pages.blocks(page):
        if block.file is not None:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text)
        for shown in () if block.marks else block.commands():
            done = execute(shown, folder, stored)
            assert done.returncode in allowed(shown), f"{shown.text}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            if done.returncode == shown.exit_code:
                printed = {shape(line) for line in (done.stdout + done.stderr).splitlines()}
                assert [line for line in shown.output if "..." not in line and shape(line) not in printed] == []
