"""The digest of all project code that a stage can run, by the imports of its modules.

Imports are followed in the syntax tree, nothing is imported: absolute and relative ones, those inside functions, the
`__init__` of every package on the way, and modules that are only named in a string, as TFX names executors and
`run_fn`. A module counts as a whole, comments too.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from components.digest import canonical_json, sha256_bytes, sha256_file
from components.errors import BadInput, EnvironmentProblem
from pipeline.provenance.kept_references import KeptReferences

PACKAGES: Final = ("components", "pipeline")

LOCK_PLACES: Final = (
    Path(__file__).resolve().parents[2] / "requirements.lock",
    Path(sys.prefix) / "share" / "mnist-tfx" / "requirements.lock",
)
"""In a clone, and where an installed wheel puts it."""

INIT: Final = "__init__.py"

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


class Sources:
    """The project's sources, each of which is read once, and each name looked up once, for all stages of a run.

    Args:
      packages: the project's top-level packages.
      base: the folder that holds them; by default they are looked up as an import would, without importing them.

    Raises:
      EnvironmentProblem: if a package is not installed.
    """

    def __init__(self, packages: Sequence[str] = PACKAGES, *, base: Path | None = None) -> None:
        self.packages: Final = tuple(packages)
        self._folders = _folders(packages, base)
        self._places: dict[str, _Place] = {}
        self._names: dict[Path, frozenset[str]] = {}
        self._read: dict[_Module, _Source] = {}

    def resolve(self, name: str) -> list[_Module]:
        """Return the module `name` and the packages above it, outermost first; names of attributes are left out."""
        return list(self._place(name).modules)

    def read(self, module: _Module) -> _Source:
        """Return what a module is, and what it needs.

        Raises:
          EnvironmentProblem: if it does not parse.
        """
        if module not in self._read:
            source = module.file.read_bytes()
            digest = sha256_bytes(source)
            needs = self._needed(module, source, digest)
            self._read[module] = _Source(key=self._key(module.file), digest=digest, needs=needs)
        return self._read[module]

    def _place(self, name: str) -> _Place:
        # By the place of the name above it: the sources have a thousand names, and nearly all share what is above them.
        if name not in self._places:
            above, dot, last = name.rpartition(".")
            self._places[name] = self._below(self._place(above), name, last) if dot else self._top(name)
        return self._places[name]

    def _top(self, name: str) -> _Place:
        if name not in self._folders:
            return _Place((), None)
        folder = self._folders[name]
        package = (_Module(name, folder / INIT),) if INIT in self._names_in(folder) else ()
        return _Place(package, folder)

    def _below(self, above: _Place, name: str, last: str) -> _Place:
        if above.folder is None:
            return above
        folder, beside = above.folder / last, self._names_in(above.folder)
        if last in beside and INIT in self._names_in(folder):
            return _Place((*above.modules, _Module(name, folder / INIT)), folder)
        if f"{last}.py" in beside:
            return _Place((*above.modules, _Module(name, above.folder / f"{last}.py")), folder)
        return _Place(above.modules, None)

    def _names_in(self, folder: Path) -> frozenset[str]:
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except (FileNotFoundError, NotADirectoryError):
                self._names[folder] = frozenset()
        return self._names[folder]

    def _needed(self, module: _Module, source: bytes, digest: str) -> tuple[_Module, ...]:
        name, file = module
        package = name if file.name == INIT else name.rpartition(".")[0]
        try:
            names, scripts = _KEPT.of(source, digest, package)
        except (SyntaxError, ValueError) as err:
            raise EnvironmentProblem("does not parse as Python", where=file, got=err) from err
        imported = [one for name in names for one in self.resolve(name)]
        beside = [_Module(f"{package}.{script.removesuffix('.py')}", file.with_name(script)) for script in scripts]
        return (*imported, *(one for one in beside if one.file.is_file()))

    def _key(self, file: Path) -> str:
        """Return the file's path from the folder that holds its package, with forward slashes."""
        top, folder = next((t, f) for t, f in self._folders.items() if file.is_relative_to(f))
        return f"{top}/{file.relative_to(folder).as_posix()}"


class _Module(NamedTuple):
    name: str
    file: Path


class _Place(NamedTuple):
    """Where a dotted name leads: the modules on the way, and the folder of what is below it; None where it ends early."""

    modules: tuple[_Module, ...]
    folder: Path | None


class _Source(NamedTuple):
    key: str
    digest: str
    needs: tuple[_Module, ...]


def code_files(modules: str | Iterable[str], sources: Sources | None = None) -> dict[str, str]:
    """Return {path: SHA-256} of the modules and of all that they import from the project, directly or not.

    Args:
      modules: dotted names; `package.module.attribute` counts as its module.
      sources: of the project; by default those that an import would give.

    Raises:
      BadInput: if a module is not there.
      EnvironmentProblem: if a file does not parse.
    """
    sources = Sources() if sources is None else sources
    waiting: list[_Module] = []
    for name in [modules] if isinstance(modules, str) else modules:
        waiting += _asked_for(sources, name)
    digests: dict[str, str] = {}
    seen: set[Path] = set()
    while waiting:
        module = waiting.pop()
        if module.file in seen:
            continue
        seen.add(module.file)
        source = sources.read(module)
        digests[source.key] = source.digest
        waiting += source.needs
    _KEPT.keep()
    return dict(sorted(digests.items()))


def code_of(
    modules: str | Iterable[str],
    lock_sha256: str,
    sources: Sources | None = None,
    *,
    beside: Mapping[str, str] | None = None,
    imports: Iterable[str] = (),
) -> Code:
    """Return the files behind `modules` and the digest over them and the lock.

    Args:
      modules: see `code_files`, as for `sources`.
      lock_sha256: of the lock file.
      sources: of the project.
      beside: {path: SHA-256} of files that count as well (see `pipeline.provenance.own_code`).
      imports: what these import: names that count as far as they are the project's.
    """
    sources = Sources() if sources is None else sources
    imported = [found[-1].name for name in imports if (found := sources.resolve(name))]
    wanted = [modules] if isinstance(modules, str) else [*modules]
    files = dict(sorted({**code_files([*wanted, *imported], sources), **(beside or {})}.items()))
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


def _asked_for(sources: Sources, name: str) -> list[_Module]:
    found = sources.resolve(name)
    module, file = found[-1] if found else ("", Path())
    is_attribute = module == name.rpartition(".")[0] and file.name != INIT
    if not found or not (module == name or is_attribute):
        raise BadInput("no such module in the project", where=name, wanted=f"one in {', '.join(sources.packages)}")
    return found


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
