"""Exit codes: one enumeration in the code, one table in the documents, and nothing that ends with a number of its own."""

import ast
import re

import pytest
from click.testing import CliRunner
from command_line import PROJECT

from components.errors import BadInput, CannotTell, EnvironmentProblem, ExitCode, Refused
from pipeline.cli.main import cli

ROW = re.compile(r"^\| (\d+) \| `(\w+)` \| (\w+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)

OTHERS = ["pipeline/__main__.py", "pipeline/process/forkserver.py", "pipeline/report/model_answers_process.py"]
"""The first may end before the enumeration can be imported; the others are children, of which nobody reads the code."""


def test_the_table_in_the_documents_is_the_enumeration():
    text = (PROJECT / "docs" / "reference" / "exit-codes.md").read_text()
    table = [(int(code), name, status, meaning) for code, name, status, meaning, _ in ROW.findall(text)]
    assert table == [(int(code), code.name, code.status, code.meaning) for code in ExitCode]


def test_the_help_and_the_readme_point_at_the_table():
    answer = CliRunner().invoke(cli, ["--help"], prog_name="mnist-tfx")
    assert "docs/reference/exit-codes.md" in answer.output
    assert all(re.search(rf"\b{int(code)}\b", answer.output.partition("Exit codes:")[2]) for code in ExitCode)
    assert "(docs/reference/exit-codes.md)" in (PROJECT / "README.md").read_text()


@pytest.mark.parametrize(
    ("error", "code"),
    [(BadInput, 2), (Refused, 3), (EnvironmentProblem, 4), (CannotTell, 5)],
    ids=str,
)
def test_every_error_has_its_code(error, code):
    assert error.exit_code == code


def _numbers(node: ast.AST):
    """Yields the literal numbers that a statement could end a command with."""
    values = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
    for value in values:
        if isinstance(value, ast.Constant) and type(value.value) is int:
            yield value.value


def _ending(tree: ast.AST):
    """Yields the expressions of `return` in functions that return an exit code, and the arguments of exits."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.exit", "os._exit", "exit", "SystemExit"):
            yield from node.args
        if isinstance(node, ast.FunctionDef) and any("command" in ast.unparse(mark) for mark in node.decorator_list):
            yield from (one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value is not None)


def test_no_command_ends_with_a_literal_number():
    found = {}
    for path in sorted((PROJECT / "pipeline").rglob("*.py")):
        numbers = [n for value in _ending(ast.parse(path.read_text())) for n in _numbers(value)]
        found |= {str(path.relative_to(PROJECT)): numbers} if numbers else {}
    assert list(found) == OTHERS
