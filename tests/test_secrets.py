"""Passwords, tokens and keys: no message repeats one, no list of processes shows one, and nothing is unpickled."""

import ast
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import PROJECT, in_process, mnist_tfx

from components.errors import BadInput, printable, shortened
from pipeline.cli import again
from pipeline.cli.parsing import COMMAND

SECRET = "hunter2-of-the-tests"
ADDRESS = f"mysql://mlmd:{SECRET}@127.0.0.1:1/lineage"

UNPICKLING = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve"}
"""Modules that run what a file says."""

LOADERS = {"read_pickle", "unsafe_load", "full_load", "enable_unsafe_deserialization"}
"""Functions that do, wherever they come from."""


@pytest.mark.parametrize("password", ["plain", "p@ss", "p/ss", "p:ss", "p%40ss", "x" * 600])
@pytest.mark.parametrize("place", ["where", "wanted", "got", "hint", "what"])
def test_no_part_of_an_error_repeats_the_password_of_an_address(password, place):
    text = f"seen at mysql://mlmd:{password}@h:3306/m, and s3://bucket/digits"
    error = BadInput(text) if place == "what" else BadInput("wrong", **{place: text})
    assert password not in str(error)
    assert "mysql://mlmd:***@h:3306/m" in str(error)


@pytest.mark.parametrize(
    "text", ["s3://bucket/a@b", "http://h:80/x", "mysql://u@h/m", "a:b@c", "C://x", "rows 1:2 @ 3"]
)
def test_what_is_no_password_is_repeated(text):
    assert printable(text) == shortened(text) == text


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", ADDRESS),
        ("run", "--metdata", ADDRESS),
        ("run", "--metdata", ADDRESS, "--json"),
        ("run", "--metadata", ADDRESS, "--metadata", ADDRESS),
        ("run", "--metadata", f"mysql//u:{SECRET}@h/m"),
        ("run", "--metadata", f"mysql:/u:{SECRET}@h/m"),
        ("run", "--metadata", f"my sql://u:{SECRET}@h/m"),
        ("run", "--recipe", ADDRESS),
        ("run", "--data", f"https://u:{SECRET}@h/digits"),
        ("run", "--data", f"s3://u:{SECRET}@h/digits"),
        ("run", "--data", f"https://h/digits?X-Amz-Signature={SECRET}"),
        ("run", "--root", ADDRESS),
        ("run", "--set", f"metadata={ADDRESS}"),
        ("lineage", "audit", ADDRESS),
        ("lineage", "audit", "--metadata", f"mysql//u:{SECRET}@h/m"),
        ("lineage", "keygen", "--passphrase", SECRET),
        ("runs", "show", ADDRESS),
        ("serve", "--token", SECRET),
        ("serve", f"--token={SECRET}"),
        ("kubeflow", "submit", "x.yaml", "--host", f"https://u:{SECRET}@h/pipeline"),
        ("kubeflow", "submit", "x.yaml", "--host", f"https://h/pipeline?token={SECRET}"),
        ("kubeflow", "submit", "x.yaml", "--token", SECRET, "--host", "https://h/pipeline"),
        ("run", "--data", "nowhere", "--on-failure", f"curl https://hooks.example/{SECRET}; false"),
    ],
    ids=lambda arguments: " ".join(arguments).replace(SECRET, "SECRET"),
)
def test_a_secret_in_the_wrong_place_is_refused_and_not_repeated(arguments, tmp_path):
    answer = mnist_tfx(*arguments, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)})
    assert answer.code == 2, answer.err
    assert SECRET not in answer.out + answer.err
    assert "Traceback" not in answer.err


def test_an_offered_command_has_neither_the_password_nor_the_command_of_a_failure(monkeypatch):
    given = ["--metadata", ADDRESS, "--on-failure", f"curl https://hooks.example/{SECRET}", "--root", "r"]
    monkeypatch.setattr(sys, "argv", ["mnist-tfx", "run", *given])
    token = COMMAND.set("run")
    try:
        offered = again.complete("mnist-tfx run ... --transpose # turns them upright")
    finally:
        COMMAND.reset(token)
    assert (
        offered == "mnist-tfx run --metadata mysql://mlmd@127.0.0.1:1/lineage --root r --transpose # turns them upright"
    )


HIDING = """
import sys, time
from pipeline.process.arguments import hide_passwords
hide_passwords()
print(sys.argv[1:], flush=True)
input()
"""


def test_the_list_of_processes_shows_no_password_and_the_process_keeps_it():
    given = [ADDRESS, f"--metadata={ADDRESS}", "--root", "größe", "plain"]
    with subprocess.Popen(
        [sys.executable, "-c", HIDING, *given], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as process:
        try:
            told = ast.literal_eval(process.stdout.readline())
            shown = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode().split("\0")[3:-1]
        finally:
            process.kill()
    assert told == given
    assert shown == [text.replace(SECRET, "*" * len(SECRET)) for text in given]


def test_private_keys_are_for_their_owner_alone_whatever_the_umask(tmp_path, monkeypatch):
    before = os.umask(0)
    try:
        monkeypatch.setenv("MNIST_TFX_KEY_PASSPHRASE", SECRET)
        for folder, more in (("plain", ()), ("closed", ("--passphrase",))):
            answer = in_process("lineage", "keygen", "--to", tmp_path / folder, *more)
            assert answer.code == 0, answer.err
            assert SECRET not in answer.out + answer.err
    finally:
        os.umask(before)
    keys = [path for path in tmp_path.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert len(keys) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


SOURCES = sorted(
    path for folder in ("components", "pipeline", "mnist_tfx") for path in (PROJECT / folder).rglob("*.py")
)


def test_no_module_unpickles():
    assert len(SOURCES) > 500
    found = [f"{path}:{line}: {what}" for path in SOURCES for line, what in _unpickling(ast.parse(path.read_text()))]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import os, marshal as m",
        "from joblib import load",
        "import numpy as np; np.load(f, allow_pickle=True)",
        "torch.load(f)",
        "importlib.import_module('dill')",
        "pd.read_pickle(f)",
        "yaml.load(f)",
        "keras.models.load_model(f, safe_mode=False)",
    ],
)
def test_it_would_be_seen(code):
    assert list(_unpickling(ast.parse(code)))


def _unpickling(tree):
    """Yields line and text of whatever runs what a file says."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [one.name.partition(".")[0] for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").partition(".")[0], *(one.name for one in node.names)]
        elif isinstance(node, ast.Call):
            function = ast.unparse(node.func)
            given = {one.arg: one.value for one in node.keywords}
            if function.endswith("import_module"):
                names = [ast.unparse(one).strip("'\"") for one in node.args]
            if _may_unpickle(function, given):
                yield node.lineno, ast.unparse(node)
        if UNPICKLING & set(names):
            yield node.lineno, ast.unparse(node)


def _may_unpickle(function, given):
    if function.rpartition(".")[2] in LOADERS or function in {"torch.load", "yaml.load"}:
        return True
    allowed, safe = given.get("allow_pickle"), given.get("safe_mode")
    unsafe = allowed is not None and ast.unparse(allowed) != "False"
    return unsafe or (safe is not None and ast.unparse(safe) != "True")
