"""The digest of all project code that a stage can run, by the imports of its modules.

Imports are followed in the syntax tree, nothing is imported: absolute and relative ones, those inside functions, the
`__init__` of every package on the way, and modules that are only named in a string, as TFX names executors and
`run_fn`. A module counts as a whole, comments too.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from components.digest import canonical_json, sha256_bytes, sha256_file
from components.errors import BadInput, EnvironmentProblem
from pipeline.provenance.kept_references import KeptReferences

PACKAGES: Final = ("components", "pipeline")

LOCK_PLACES: Final = (
    Path(__file__).resolve().parents[2] / "requirements.lock",
    Path(sys.prefix) / "share" / "mnist-tfx" / "requirements.lock",
)
"""In a clone, and where an installed wheel puts it."""

_DOTTED: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_SCRIPT: Final = re.compile(r"\w+\.py")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Code:
    """The code behind one node.

    Attributes:
      digest: over `files` and the lock.
      files: {path such as `components/digest.py`: SHA-256}; those of a user's own code beside the project's.
    """

    digest: str
    files: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class _Sources:
    """The folders of the project's packages; turns dotted names into files."""

    folders: Mapping[str, Path]

    def resolve(self, name: str) -> list[tuple[str, Path]]:
        """Return (module, file) of `name` and of the packages above it; names of attributes are left out."""
        top, *rest = name.split(".")
        result: list[tuple[str, Path]] = []
        if top not in self.folders:
            return result
        folder, module = self.folders[top], top
        if (folder / "__init__.py").is_file():
            result.append((module, folder / "__init__.py"))
        for part in rest:
            folder, module = folder / part, f"{module}.{part}"
            file = next((f for f in (folder / "__init__.py", folder.with_name(f"{part}.py")) if f.is_file()), None)
            if file is None:
                break
            result.append((module, file))
        return result

    def key(self, file: Path) -> str:
        """Return the file's path from the folder that holds its package, with forward slashes."""
        top, folder = next((t, f) for t, f in self.folders.items() if file.is_relative_to(f))
        return f"{top}/{file.relative_to(folder).as_posix()}"


def code_files(
    modules: str | Iterable[str], packages: Sequence[str] = PACKAGES, *, base: Path | None = None
) -> dict[str, str]:
    """Return {path: SHA-256} of the modules and of all that they import from `packages`, directly or not.

    Args:
      modules: dotted names; `package.module.attribute` counts as its module.
      packages: the project's top-level packages.
      base: the folder that holds them; by default they are looked up as an import would, without importing them.

    Raises:
      BadInput: if a module is not there.
      EnvironmentProblem: if a file does not parse.
    """
    sources = _Sources(_folders(packages, base))
    waiting: list[tuple[str, Path]] = []
    for name in [modules] if isinstance(modules, str) else modules:
        waiting += _asked_for(sources, name)
    digests: dict[str, str] = {}
    while waiting:
        module, file = waiting.pop()
        if (key := sources.key(file)) in digests:
            continue
        source = file.read_bytes()
        digests[key] = sha256_bytes(source)
        waiting += _needed(sources, module, file, source, digests[key])
    _KEPT.keep()
    return dict(sorted(digests.items()))


def code_of(  # noqa: PLR0913  # what `code_files` takes, and what counts beside it
    modules: str | Iterable[str],
    lock_sha256: str,
    packages: Sequence[str] = PACKAGES,
    *,
    base: Path | None = None,
    beside: Mapping[str, str] | None = None,
    imports: Iterable[str] = (),
) -> Code:
    """Return the files behind `modules` and the digest over them and the lock.

    Args:
      modules: see `code_files`, as for the next two.
      lock_sha256: of the lock file.
      packages: the project's.
      base: the folder that holds them.
      beside: {path: SHA-256} of files that count as well (see `pipeline.provenance.own_code`).
      imports: what these import: names that count as far as they are the project's.
    """
    sources = _Sources(_folders(packages, base))
    imported = [pairs[-1][0] for name in imports if (pairs := sources.resolve(name))]
    wanted = [modules] if isinstance(modules, str) else [*modules]
    files = dict(sorted({**code_files([*wanted, *imported], packages, base=base), **(beside or {})}.items()))
    return Code(digest=sha256_bytes(canonical_json({"files": files, "lock": lock_sha256})), files=files)


def code_digest(modules: str | Iterable[str], lock_sha256: str) -> str:
    """Return the digest of the code behind `modules` and of the lock, whose SHA-256 is `lock_sha256`."""
    return code_of(modules, lock_sha256).digest


def _folders(packages: Sequence[str], base: Path | None) -> dict[str, Path]:
    folders = {}
    for package in packages:
        if base is not None:
            folders[package] = base / package
            continue
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise EnvironmentProblem("package is not installed", where=package)
        folders[package] = Path(next(iter(spec.submodule_search_locations)))
    return folders


def _asked_for(sources: _Sources, name: str) -> list[tuple[str, Path]]:
    modules = sources.resolve(name)
    module, file = modules[-1] if modules else ("", Path())
    is_attribute = module == name.rpartition(".")[0] and file.name != "__init__.py"
    if not modules or not (module == name or is_attribute):
        raise BadInput("no such module in the project", where=name, wanted=f"one in {', '.join(sources.folders)}")
    return modules


def _needed(sources: _Sources, module: str, file: Path, source: bytes, digest: str) -> list[tuple[str, Path]]:
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    try:
        names, scripts = _KEPT.of(source, digest, package)
    except (SyntaxError, ValueError) as err:
        raise EnvironmentProblem("does not parse as Python", where=file, got=err) from err
    imported = [pair for name in names for pair in sources.resolve(name)]
    beside = [(f"{package}.{script.removesuffix('.py')}", file.with_name(script)) for script in scripts]
    return imported + [pair for pair in beside if pair[1].is_file()]


def references(source: bytes, package: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return what a module's source refers to: dotted names, and names of scripts that may lie beside it.

    Args:
      source: the module's bytes.
      package: what its relative imports start from.

    Raises:
      SyntaxError: if it is not Python.
      ValueError: if it holds a NUL byte.
    """
    names: set[str] = set()
    scripts: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        names.update(_imported(node, package))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.update({node.value} if _DOTTED.fullmatch(node.value) else ())
            scripts.update({node.value} if _SCRIPT.fullmatch(node.value) else ())
    return frozenset(names), frozenset(scripts)


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parents = package.split(".")
        # Level 1 is the package itself, each further dot one package up.
        above = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
        start = ".".join(part for part in (above, node.module) if part)
        yield from (f"{start}.{alias.name}" for alias in node.names)


def lock_file() -> Path | None:
    """Return the lock that came with this code."""
    return next((place for place in LOCK_PLACES if place.is_file()), None)


def lock_digest() -> str:
    """Return the SHA-256 of the lock that came with this code; empty if none did."""
    lock = lock_file()
    return "" if lock is None else sha256_file(lock)


_KEPT: Final = KeptReferences(references, Path(__file__))
