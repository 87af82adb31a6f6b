"""Code of the user's own that a stage runs: how it is located, digested with the stage's, and kept below the root.

A recipe names a function, `classifier.build: my_package.nets:build`. Its module is looked for as Python would: in the
folder of the recipe (and of those that it extends), in the working directory, on Python's path; the interpreter's own
library and what is installed into the environment come last. All of its top-level package or module counts as the user's
own, and so does every module that it imports, directly or not, and that lies outside the environment. Imports are
followed in the syntax tree, as those of the project are (`pipeline.provenance.code`): nothing is imported.

A copy goes to `inputs/code-<digest>`, named by paths and content, and Trainers import from there and nowhere else: what
was not found, and so is not in the digest, is not there to be imported.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import os
import shutil
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components import disk
from components.digest import canonical_json, sha256_bytes
from components.errors import BadInput, MnistTfxError, Problems
from components.files import replacing
from components.suggestions import closest, did_you_mean
from components.untrusted import MIB, read_bytes
from pipeline.provenance.code import PACKAGES, Code, Sources, code_of, references

if TYPE_CHECKING:
    from components.settings import Settings
    from pipeline.stages import Stage

INPUTS: Final = "inputs"
PREFIX: Final = "code-"
"""Of the copies' folders, which lie below `INPUTS` of a root."""

LARGEST: Final = 4 * MIB
"""Bytes of one module."""

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
"""Names of folders that installers write; an environment may see those of another."""

MOST_BYTES: Final = 32 * MIB
"""Of all modules together."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnCode:
    """The user's code behind one function.

    Attributes:
      build: `package.module:function`.
      contents: {path from the folder that holds the top-level package, with forward slashes: bytes}.
      places: {the same path: where it was found}.
      imports: names of the project's own modules that it imports.
    """

    build: str
    contents: Mapping[str, bytes]
    places: Mapping[str, Path]
    imports: tuple[str, ...] = ()

    @property
    def digests(self) -> dict[str, str]:
        """{path: SHA-256}."""
        return {path: sha256_bytes(content) for path, content in sorted(self.contents.items())}


def own_digests(files: Mapping[str, str]) -> dict[str, str]:
    """Return those of a record's code files {path: SHA-256} that are the user's own, sorted."""
    return {path: sha256 for path, sha256 in sorted(files.items()) if path.partition("/")[0] not in PACKAGES}


def folder_name(digests: Mapping[str, str]) -> str:
    """Return the name of the folder that holds a copy of files {path: SHA-256}."""
    return PREFIX + sha256_bytes(canonical_json(dict(digests)))


def code_of_stage(
    stage: Stage,
    settings: Settings | None,
    lock_sha256: str,
    folders: Iterable[Path] = (),
    sources: Sources | None = None,
) -> tuple[Code, OwnCode | None]:
    """Return the code behind a stage, and the user's own in it.

    Args:
      stage: the stage.
      settings: the resolved recipe, which may name a function of the user's; None asks for the project's code alone.
      lock_sha256: of the lock file.
      folders: of the recipe files.
      sources: of the project, to be read once for several stages.

    Raises:
      BadInput: if the function is not there.
    """
    section = getattr(settings, stage.section, None) if settings is not None and stage.section else None
    build = getattr(section, "build", None)
    return code_with(stage.modules, build, lock_sha256, folders, where=stage.section, sources=sources)


def code_with(  # noqa: PLR0913  # what `code_of` takes, and where a function is looked for
    modules: Iterable[str],
    build: str | None,
    lock_sha256: str,
    folders: Iterable[Path] = (),
    *,
    where: str | None = None,
    sources: Sources | None = None,
) -> tuple[Code, OwnCode | None]:
    """Return the code behind modules of the project and a function of the user's, and the user's own in it.

    Raises:
      BadInput: if the function is not there.
    """
    if build is None:
        return code_of(modules, lock_sha256, sources), None
    own = find(build, folders, where=f"{where}.build")
    return code_of(modules, lock_sha256, sources, beside=own.digests, imports=own.imports), own


def check(settings: Settings, folders: Iterable[Path]) -> None:
    """Refuse a recipe that names functions which are not there.

    Args:
      settings: the resolved recipe.
      folders: of the recipe files.

    Raises:
      BadInput: with all that is wrong.
    """
    problems, places = Problems(), tuple(folders)
    for section in ("autoencoder", "classifier"):
        build = getattr(getattr(settings, section), "build", None)
        if build is not None:
            with problems.noted():
                find(build, places, where=f"{section}.build")
    problems.raise_any()


def find(build: str, folders: Iterable[Path] = (), *, where: str = "build") -> OwnCode:
    """Return the code behind a function: its module and all that this imports outside the environment.

    Args:
      build: `package.module:function`.
      folders: where it is looked for first.
      where: for messages.

    Raises:
      BadInput: if it is not there, does not parse, or goes by a name that is taken.
    """
    module, _, function = build.partition(":")
    top, where = module.partition(".")[0], f"{where}: {build}"
    if top in PACKAGES or top in sys.stdlib_module_names:
        whose = "this project" if top in PACKAGES else "Python"
        raise BadInput(f"{top} is a package of {whose}", where=where, hint="give yours a name that nothing else has")
    found = _Search(search_path(folders), top)
    asked = found.resolve(module)
    if not asked or asked[-1][0] != module:
        raise _not_there(module, found, where)
    own = found.closure(build, asked)
    _require_function(function, own.contents[found.key(asked[-1][1])], where)
    return own


def search_path(folders: Iterable[Path] = ()) -> tuple[Path, ...]:
    """Return the folders in which the user's own code is looked for: none of them belongs to the environment."""
    environment = _environment()
    wanted = [*folders, Path.cwd(), *(Path(entry or ".") for entry in sys.path)]
    real = dict.fromkeys(Path(os.path.realpath(folder)) for folder in wanted)
    return tuple(
        one
        for one in real
        if one.is_dir()
        and not any(one == its or its in one.parents for its in environment)
        and not _INSTALLED.intersection(one.parts)
    )


def _environment() -> frozenset[Path]:
    """Return the folders of the interpreter's own library and of what is installed into the environment."""
    named = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders = [*filter(None, named), *site.getsitepackages(), site.getusersitepackages()]
    return frozenset(Path(os.path.realpath(folder)) for folder in folders)


class _Search:
    """Turns names of modules into files, in the order of the path.

    Args:
      path: folders of the user's.
      top: the package that is the user's own wherever it lies.
    """

    def __init__(self, path: tuple[Path, ...], top: str) -> None:
        self.path = path
        self._own = top
        self._bases: dict[str, Path | None] = {}

    def resolve(self, name: str) -> list[tuple[str, Path]]:
        """Return (module, file) of `name` and of the packages above it, as far as they are the user's own."""
        top = name.partition(".")[0]
        if top not in self._bases:
            self._bases[top] = self._base(top)
        base = self._bases[top]
        return [] if base is None else list(_files(base, name))

    def key(self, file: Path) -> str:
        """Return a file's path from the folder that holds its top-level package."""
        base = next(base for base in self._bases.values() if base is not None and file.is_relative_to(base))
        return file.relative_to(base).as_posix()

    def closure(self, build: str, asked: list[tuple[str, Path]]) -> OwnCode:
        """Return the code behind modules, themselves included."""
        waiting, contents, places = list(asked), dict[str, bytes](), dict[str, Path]()
        imports: set[str] = set()
        while waiting:
            module, file = waiting.pop()
            if (key := self.key(file)) in contents:
                continue
            contents[key], places[key] = read_bytes(file, limit=LARGEST), file
            if sum(map(len, contents.values())) > MOST_BYTES:
                raise BadInput("is too much code to keep", where=build, wanted=f"at most {MOST_BYTES >> 20} MiB")
            names = _names(module, file, contents[key])
            waiting += [pair for name in names for pair in self.resolve(name)]
            imports.update(name for name in names if name.partition(".")[0] in PACKAGES)
        return OwnCode(build=build, contents=contents, places=places, imports=tuple(sorted(imports)))

    def _base(self, top: str) -> Path | None:
        """Return the folder in which a top-level package lies; None if it is not the user's own."""
        if top in PACKAGES or top in sys.stdlib_module_names:
            return None
        for folder in self.path:
            if (folder / top / "__init__.py").is_file() or (folder / f"{top}.py").is_file():
                return folder
        spec = _spec(top)
        if spec is None:  # a folder without __init__.py counts only where nothing else has its name
            return next((folder for folder in self.path if any((folder / top).glob("**/*.py"))), None)
        if top != self._own:
            return None
        places = list(spec.submodule_search_locations or ()) or [spec.origin or ""]
        return Path(os.path.realpath(places[0])).parent


def _spec(top: str) -> Any:
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):  # ValueError: a module that something has put into sys.modules by hand
        return None


def _files(base: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Yield (module, file) of a dotted name and of the packages above it; what is no module ends it."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        module, place = ".".join(parts[:depth]), base.joinpath(*parts[:depth])
        if (place / "__init__.py").is_file():
            yield module, place / "__init__.py"
        elif place.with_name(f"{place.name}.py").is_file():
            yield module, place.with_name(f"{place.name}.py")
            return
        elif not place.is_dir():
            return


def _names(module: str, file: Path, source: bytes) -> frozenset[str]:
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    try:
        names, _ = references(source, package)
    except (SyntaxError, ValueError) as err:
        line = getattr(err, "lineno", None)
        where = file if line is None else f"{file}, line {line}"
        raise BadInput("does not parse as Python", where=where, got=getattr(err, "msg", err)) from err
    return names


def _not_there(module: str, found: _Search, where: str) -> BadInput:
    folders = ", ".join(map(str, found.path))
    beside = {file.stem for folder in found.path for file in folder.glob("*.py")} if "." not in module else set()
    meant = did_you_mean(closest(module, beside))
    hint = meant or "name a module beside the recipe or in the working directory, or put its folder into PYTHONPATH"
    return BadInput("no such module", where=where, wanted=f"{module} in {folders}", hint=hint)


def _require_function(name: str, source: bytes, where: str) -> None:
    """Refuse a module that defines no such name at its top level, unless it may come from an `import *`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    if name not in names and "*" not in names:
        raise BadInput("no such function in the module", where=where, got=name, hint=did_you_mean(closest(name, names)))


def keep(inputs: Path, own: OwnCode) -> Path:
    """Keep a copy below the folder of inputs, unless it is there and holds; return its folder.

    Raises:
      EnvironmentProblem: if it cannot be written.
    """
    folder = inputs / folder_name(own.digests)
    if holds(folder, own.digests):
        return folder
    try:
        if os.path.lexists(folder):  # cut short by a crash, or changed
            shutil.rmtree(folder)
        for path, content in own.contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            with replacing(folder / path) as file:
                file.write(content)
    except OSError as err:
        raise disk.problem(err, "cannot keep a copy of your code", where=folder) from err
    return folder


def holds(folder: Path, digests: Mapping[str, str]) -> bool:
    """Return whether a folder has these files {path: SHA-256} and no others, all of them plain."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    there = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    return there.keys() == digests.keys() and all(_is(path, digests[name]) for name, path in there.items())


def _is(path: Path, sha256: str) -> bool:
    try:
        return not path.is_symlink() and sha256_bytes(read_bytes(path, limit=LARGEST)) == sha256
    except MnistTfxError:
        return False
