"""Completion in real shells: what each of them offers, how quickly, and that a wrong line disturbs nobody."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import PROJECT, mnist_tfx

from pipeline.cli.completion import SHELLS, VARIABLE
from pipeline.cli.main import COMMANDS

PROGRAM = Path(sys.executable).parent / "mnist-tfx"

# Each script loads what the command prints, asks for the completions of a line, and prints one to a line.
SCRIPTS = {
    "bash": """
        eval "$(mnist-tfx completion bash)"
        [ "$(complete -p mnist-tfx)" = "complete -o nosort -F _mnist_tfx_completion mnist-tfx" ] || echo not registered
        read -ra COMP_WORDS <<< "$LINE_TO_COMPLETE"
        [[ $LINE_TO_COMPLETE == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        compopt() { echo "<$2>"; }  # bash knows it only while it completes
        _mnist_tfx_completion mnist-tfx
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "fish": 'mnist-tfx completion fish | source; complete --do-complete "$LINE_TO_COMPLETE" | string split --fields 1 \\t',
    "zsh": """
        compdef() { [[ "$*" == "_mnist_tfx_completion mnist-tfx" ]] || print not registered }
        _describe() { print -l -- ${${(P)3}%%:*} }
        compadd() { print -l -- ${(P)5} }
        _path_files() { print -- "<$@>" }
        eval "$(mnist-tfx completion zsh)"
        words=("${(@s. .)LINE_TO_COMPLETE}") CURRENT=$#words
        _mnist_tfx_completion
    """,
}
PLAIN = {"bash": ["--norc", "--noprofile"], "fish": ["--no-config"], "zsh": ["-f"]}


def offered(shell, line, cwd=PROJECT):
    """What a shell offers at the end of a line."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    environment = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "LINE_TO_COMPLETE": line}
    command = [shell, *PLAIN[shell], "-c", SCRIPTS[shell]]
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return [found for found in done.stdout.splitlines() if found]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("mnist-tfx ", list(COMMANDS)),
        ("mnist-tfx lineage re", ["reproduce", "repair", "rebuild"]),
        ("mnist-tfx kubeflow sub", ["submit"]),
        ("mnist-tfx run --dev", ["--device"]),
        ("mnist-tfx run --device ", ["auto", "cpu", "gpu"]),
        ("mnist-tfx run --recipe mn", ["mnist"]),
        ("mnist-tfx lineage audit n", ["newest"]),
        ("mnist-tfx data fetch digits --form c", ["csv"]),
        ("mnist-tfx completion ", list(SHELLS)),
    ],
)
def test_a_shell_offers_commands_options_and_values(shell, line, wanted):
    assert sorted(offered(shell, line)) == sorted(wanted)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("mnist-tfx run --recipe mine.", "<default>"),
        ("mnist-tfx run --data ", "<default>"),
        ("mnist-tfx lineage impact ", "<default>"),
        ("mnist-tfx run --root ", "<dirnames>"),
        ("mnist-tfx lineage verify ", "<dirnames>"),
    ],
)
def test_bash_completes_paths_where_a_parameter_takes_one(line, wanted):
    assert offered("bash", line) == [wanted]


@pytest.mark.parametrize(
    "line",
    [
        "mnist-tfx lineage rows ",
        "mnist-tfx rnu --",
        "mnist-tfx run --nosuch --",
        "mnist-tfx run --seed many --root /nowhere --",
        "mnist-tfx run --beam-option help ",
        "mnist-tfx run --beam abacus --beam-option help --",
    ],
)
def test_a_line_that_is_wrong_prints_nothing_but_completions(line):
    assert [text for text in offered("bash", line) if " " in text] == []


def loaded(line):
    """What bash is answered at the end of a line, and the modules that were imported for it."""
    script = (
        "import sys\n"
        "from pipeline.cli.main import main\n"
        "sys.argv = ['mnist-tfx']\n"
        "try: main()\n"
        "finally: print('MODULES', *sys.modules)\n"
    )
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), VARIABLE: "bash_complete"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, env={**os.environ, **asked}, capture_output=True, text=True, check=True, cwd=PROJECT, timeout=60
    )
    answer, _, modules = done.stdout.partition("MODULES ")
    return answer, modules.split()


@pytest.mark.parametrize(
    "line", ["mnist-tfx ", "mnist-tfx run --", "mnist-tfx kubeflow compile --", "mnist-tfx lineage audit "]
)
def test_completion_imports_nothing_heavy(line):
    answer, modules = loaded(line)
    assert answer.startswith("plain,")
    assert {"tensorflow", "tfx", "apache_beam", "keras", "kfp", "sklearn", "pandas"} & set(modules) == set()


def test_the_names_in_a_group_are_completed_without_importing_its_commands():
    answer, modules = loaded("mnist-tfx lineage ")
    assert "plain,audit" in answer
    assert [name for name in modules if name.startswith("pipeline.cli.lineage.")] == []


def test_another_shell_is_refused_in_one_line():
    answer = mnist_tfx("completion", "csh")
    assert answer.code == 2
    assert "bash, zsh, fish" in answer.err
