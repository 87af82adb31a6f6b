"""Types of parameters: each one checks that what was named exists and can be what it should be, before any work.

Paths come out absolute and resolved, once and for all: what a link or `..` means is decided here, where the user's
working directory counts, and everything behind it sees one spelling. Nothing is opened, and nothing is written.
"""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, TypeVar

import click
from click.shell_completion import CompletionItem

from components.errors import BadInput, EnvironmentProblem
from components.ingest import spans
from components.suggestions import closest, did_you_mean
from components.untrusted import kind_of
from pipeline.cli.parsing import name_of
from pipeline.cli.remote_data import RemoteData
from pipeline.datasets.stores.address import Address, is_address, scheme_of
from pipeline.root.paths import holds_pipeline, require_usable, resolved

Value = TypeVar("Value")

LONGEST_TEXT: Final = 4096
MAKES_ROOT: Final = "`mnist-tfx run --root` makes one"

KERNELS_OWN: Final = ("/proc", "/sys", "/sys/fs/cgroup", "/dev/pts")
"""Where file systems are mounted that have no files of anybody else."""

MOST_SIBLINGS: Final = 2000
"""Names of a folder that are compared with one that is not there."""


class Parameter(click.ParamType[Any], Generic[Value]):
    """What a parameter takes: text that `read` turns into a value, or refuses with the parameter's name."""

    name = "text"
    files: str | None = None
    """What a shell completes paths with, in click's words: `file`, which includes folders, or `dir`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read text; a default that is a value already stays as it is."""
        del ctx
        where = name_of(param)
        if isinstance(value, Path):
            value = str(value)
        return self.read(self._text(value, where), where) if isinstance(value, str) else value

    def read(self, text: str, where: str | None) -> Value:
        """Return the value that the text stands for.

        Raises:
          BadInput: if it stands for none.
        """
        raise NotImplementedError

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return what a shell may offer: the names that begin so, or else whatever kind of file the parameter takes."""
        del ctx, param
        names = [CompletionItem(name) for name in self.completions() if name.lower().startswith(incomplete.lower())]
        return names or [CompletionItem(incomplete, type=self.files)] if self.files else names

    def completions(self) -> Iterable[str]:
        """Return the names that a shell offers."""
        return ()

    def _text(self, text: str, where: str | None) -> str:
        if not text.strip():
            raise BadInput("empty", where=where, wanted=self.name, got=repr(text))
        if "\0" in text:
            raise BadInput("holds a NUL byte", where=where, got=self.shown(text))
        if not _is_utf8(text):
            raise BadInput("not UTF-8", where=where, got=self.shown(text))
        return text

    def shown(self, text: str) -> str:
        """Return a value as a message may repeat it."""
        return text


class Text(Parameter[str]):
    """A name: printable text of a reasonable length."""

    def __init__(self, name: str = "name", longest: int = 256) -> None:
        self.name = name
        self.longest = longest

    def read(self, text: str, where: str | None) -> str:
        """Return the text itself."""
        if not text.isprintable():
            raise BadInput("holds control characters", where=where, got=text)
        if len(text) > self.longest:
            raise BadInput("too long", where=where, wanted=f"at most {self.longest} characters", got=text)
        return text


class NamedText(Text):
    """`NAME=VALUE` of which the command itself knows the names, and what may stand for none of them."""

    def key_of(self, text: str) -> str:
        """Return the name; a repeated option gives each a value once. Empty where there is no value."""
        return _key_of(text) if "=" in text else ""


class Checked(Parameter[Any]):
    """Text with a form of its own, read by a function that raises `BadInput`.

    Args:
      function: reads the text; what it imports, it imports itself.
      name: of what it reads.
      as_given: whether the command takes the text itself, and the function only checks it.
      secret: whether the text may hold a password, and is never repeated.
      usual: values that a shell offers; there may be others.
    """

    def __init__(
        self,
        function: Callable[[str], Any],
        *,
        name: str,
        as_given: bool = False,
        secret: bool = False,
        usual: Iterable[str] = (),
    ) -> None:
        self.function = function
        self.name = name
        self.as_given = as_given
        self.secret = secret
        self.usual = usual

    def completions(self) -> Iterable[str]:
        """Return the usual values."""
        return self.usual

    def read(self, text: str, where: str | None) -> Any:
        """Return what the function makes of the text, or the text."""
        if len(text) > LONGEST_TEXT:
            raise BadInput("too long", where=where, wanted=f"at most {LONGEST_TEXT} characters", got=self.shown(text))
        try:
            value = self.function(text)
        except BadInput as err:
            err.where = where  # the function may serve several parameters
            raise
        return text if self.as_given else value

    def shown(self, text: str) -> str:
        """Return the text, unless it may be secret."""
        return "a value that is not repeated here" if self.secret else text


class OneOf(Parameter[str]):
    """One of several names, upper or lower case."""

    name = "name"

    def __init__(self, names: Collection[str]) -> None:
        self.names = tuple(names)

    def completions(self) -> Iterable[str]:
        """Return the choices."""
        return self.names

    def read(self, text: str, where: str | None) -> str:
        """Return the name as it is known."""
        for name in self.names:
            if name.lower() == text.lower():
                return name
        wanted = ", ".join(self.names)
        raise BadInput(
            "no such choice",
            where=where,
            wanted=wanted,
            got=text,
            hint=did_you_mean(closest(text, self.names, str.lower)),
        )

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """Return the choices, as the help shows them."""
        del ctx
        names = "|".join(self.names)
        return f"{{{names}}}" if param.param_type_name == "argument" else f"[{names}]"


class Integer(Parameter[int]):
    """A whole number within bounds."""

    name = "integer"

    def __init__(self, lowest: int, highest: int) -> None:
        self.lowest = lowest
        self.highest = highest

    def read(self, text: str, where: str | None) -> int:
        """Return the number."""
        wanted = f"a whole number from {self.lowest} to {self.highest}"
        # int() also takes the digits of every script and underscores, and refuses thousands of digits its own way.
        digits = text.strip().removeprefix("-")
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > 25:
            raise BadInput("not such a number", where=where, wanted=wanted, got=text)
        number = int(text)
        if not self.lowest <= number <= self.highest:
            raise BadInput("out of bounds", where=where, wanted=wanted, got=text)
        return number


class Version(Integer):
    """The number of a served version."""

    name = "version"

    def __init__(self) -> None:
        super().__init__(0, (1 << 63) - 1)


class Positive(Parameter[float]):
    """A number of something, more than none."""

    name = "number"
    of: ClassVar[str]

    def __init__(self, highest: float) -> None:
        self.highest = highest

    def read(self, text: str, where: str | None) -> float:
        """Return the number."""
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not 0 < number <= self.highest:
            wanted = f"{self.of}, more than 0 and at most {self.highest:g}"
            raise BadInput("not such a number", where=where, wanted=wanted, got=text)
        return number


class Seconds(Positive):
    """A time in seconds, more than none."""

    of = "seconds"


class Share(Positive):
    """A part of a whole, more than none of it."""

    of = "a share"

    def __init__(self) -> None:
        super().__init__(1.0)


class Pair(Parameter[str]):
    """`NAME=VALUE`, of which the name is not empty."""

    def __init__(self, form: str = "NAME=VALUE") -> None:
        self.name = form

    def read(self, text: str, where: str | None) -> str:
        """Return the text itself."""
        name, equals, _ = text.partition("=")
        if not equals or not name.strip() or not text.isprintable():
            raise BadInput("not understood", where=where, wanted=self.name, got=text)
        if len(text) > LONGEST_TEXT:
            raise BadInput("too long", where=where, wanted=f"at most {LONGEST_TEXT} characters", got=text)
        return text

    def key_of(self, text: str) -> str:
        """Return the name; a repeated option gives each a value once."""
        return _key_of(text)


class PairWithFolder(Parameter[tuple[str, Path]]):
    """`NAME=DIR`, whose folder may not be there yet."""

    def __init__(self, form: str) -> None:
        self.name = form

    def read(self, text: str, where: str | None) -> tuple[str, Path]:
        """Return the name and the folder; a `~` in front of it is the home directory, as no shell expands it there."""
        name, equals, folder = text.partition("=")
        if not name.strip() or not equals or not folder.strip() or not text.isprintable():
            raise BadInput("not understood", where=where, wanted=self.name, got=text)
        return name, NewFolder().read(str(Path(folder).expanduser()), where)

    def key_of(self, text: str) -> str:
        """Return the name; a repeated option gives each a folder once."""
        return _key_of(text)


def _key_of(text: str) -> str:
    return text.partition("=")[0].strip()


class _Path(Parameter[Path]):
    name = "path"
    files = "file"
    no_address = "name a path of this machine; data alone is read from object stores"
    """What to do where an address of an object store is given."""

    def _text(self, text: str, where: str | None) -> str:
        text = super()._text(text, where)
        if is_address(text) and not os.path.lexists(text):
            wanted = f"a {self.name} of this machine"
            # An address that was signed is a password: of any but our own, the scheme is all that is repeated.
            got = f"{scheme_of(text)}://..."
            raise BadInput("an address in a store", where=where, wanted=wanted, got=got, hint=self.no_address)
        return text


class InputFile(_Path):
    """A regular file that is there and can be read."""

    name = "file"

    def read(self, text: str, where: str | None) -> Path:
        """Return its path; a link keeps its own name, which may say what the file is."""
        path = resolved_file(text, where)
        require_there(path, text, where, "file")
        _require(stat.S_ISREG(path.stat().st_mode), path, text, where, "a file")
        _require_readable(path, text, where)
        return path


class InputFolder(_Path):
    """A folder that is there and can be read."""

    name = "folder"
    files = "dir"

    def read(self, text: str, where: str | None) -> Path:
        """Return its path, with all links resolved."""
        path = resolved(text, where)
        require_there(path, text, where, "folder")
        _require(path.is_dir(), path, text, where, "a folder")
        _require_readable(path, text, where)
        return path


class InputPath(_Path):
    """A folder or a regular file that is there and can be read."""

    def read(self, text: str, where: str | None) -> Path:
        """Return its path, as `InputFile` and `InputFolder` do."""
        path = resolved_file(text, where)
        require_there(path, text, where, "file or folder")
        return (InputFolder() if path.is_dir() else InputFile()).read(text, where)


class InputData(InputPath):
    """Data: a file, a folder, or what lies in an object store, which is fetched before the command begins."""

    name = "file, folder or address"

    def _text(self, text: str, where: str | None) -> str:
        return Parameter._text(self, text, where)  # noqa: SLF001  # addresses are welcome

    def read(self, text: str, where: str | None) -> Any:
        """Return its path, or the address."""
        return _address(text, where) or super().read(text, where)


def _address(text: str, where: str | None) -> RemoteData | None:
    """Return the address that a text is; None for a path of this machine."""
    if not is_address(text) or os.path.lexists(text):
        return None
    try:
        return RemoteData(address=Address.parse(text))
    except BadInput as err:
        err.where = where
        raise


class Data(InputData):
    """Data, or a pattern of spans."""

    name = "file or folder"

    def read(self, text: str, where: str | None) -> Any:
        """Return its path or address; of a pattern, with the folder before the first field resolved."""
        if not spans.is_pattern(text):
            return super().read(text, where)
        try:
            spans.require_fields(text)
        except BadInput as err:
            raise BadInput(err.what, where=where, wanted=err.wanted, got=text) from err
        if (remote := _address(text, where)) is not None:
            return remote
        base = spans.base_of(text)
        rest = Path(text).parts[len(base.parts) :]
        return InputFolder().read(str(base), where).joinpath(*rest)


class OutputFile(_Path):
    """A file to be written into a folder that is there; what lies in its place is a regular file or nothing."""

    name = "file"

    def read(self, text: str, where: str | None) -> Path:
        """Return its path."""
        path = resolved_file(text, where)
        if text.endswith("/") or (os.path.lexists(path) and not path.is_file()):
            got = kind_of(path.stat().st_mode) if path.exists() else "a link to nothing" if path.is_symlink() else text
            raise BadInput(f"{text} is no file that can be written", where=where, wanted="a regular file", got=got)
        require_there(path.parent, str(Path(text).parent), where, "folder")
        _require(path.parent.is_dir(), path.parent, str(Path(text).parent), where, "a folder")
        _require_no_kernels_own(path.parent, text, where)
        _require_writable(path.parent, where)  # a file is written beside the one that it replaces
        return path


class NewFolder(_Path):
    """A folder that is there, or can be made.

    Attributes:
      written: whether it is made, if it is not there, by whatever is done with it.
      filled: whether something new is written into one that is there.
    """

    name = "folder"
    files = "dir"
    written: ClassVar[bool] = True
    filled: ClassVar[bool] = False

    def read(self, text: str, where: str | None) -> Path:
        """Return its path, with all links resolved."""
        path = resolved(text, where)
        there = next((place for place in (path, *path.parents) if os.path.lexists(place)), Path("/"))
        _require(there.is_dir(), there, str(there), where, "a folder")
        _require_no_kernels_own(there, text, where)
        if self.written and (there != path or self.filled):
            _require_writable(there, where)
        return path


class FolderToFill(NewFolder):
    """A folder that is there, or can be made, for new files in any case."""

    filled = True


NO_REMOTE_ROOT: Final = "a root needs a disk or volume with locks and atomic renames, which object stores do not have; only --data is read from there"


class NewRoot(NewFolder):
    """A folder for a pipeline: one that is there, or can be made; its path has to suit everything that runs in it."""

    written = False  # a dry run makes none
    no_address = NO_REMOTE_ROOT

    def read(self, text: str, where: str | None) -> Path:
        """Return its path."""
        path = super().read(text, where)
        require_usable(path, where)
        return path


class PipelineRoot(InputFolder):
    """A folder in which a pipeline has run."""

    no_address = NO_REMOTE_ROOT

    def read(self, text: str, where: str | None) -> Path:
        """Return its path."""
        path = super().read(text, where)
        require_pipeline(path, text, where)
        return path


class AnyRoot(NewFolder):
    """A pipeline's folder, for a command that does without one, or that asks with `require_pipeline` itself."""

    written = False
    no_address = NO_REMOTE_ROOT


class VersionOrFolder(Parameter[str]):
    """A served version by its number, or a folder that holds one."""

    name = "version or folder"
    files = "dir"

    def __init__(self, *names: str) -> None:
        self.names = names

    def completions(self) -> Iterable[str]:
        """Return the names."""
        return self.names

    def read(self, text: str, where: str | None) -> str:
        """Return the number as it is given, one of the names, or the folder's absolute path."""
        if text.isdecimal():
            return str(Version().read(text, where))
        if text in self.names:
            return text
        meant = None if os.path.lexists(text) else closest(text, self.names, str.lower)
        if meant is not None:
            wanted = f"{', '.join(self.names)}, a version or a folder"
            raise BadInput("no such folder", where=where, wanted=wanted, got=text, hint=did_you_mean(meant))
        return str(InputFolder().read(text, where))


class FileOrDigest(Parameter[Any]):
    """A file or folder, or a SHA-256."""

    name = "file, folder or digest"
    files = "file"

    def read(self, text: str, where: str | None) -> Any:
        """Return the path or address, or the digest in lower case."""
        if re.fullmatch("(sha256:)?[0-9a-fA-F]{64}", text) and not os.path.lexists(text):
            return text.lower()
        if re.fullmatch("(sha256:)?[0-9a-fA-F]{8,}", text) and not os.path.lexists(text):
            raise BadInput("not a digest", where=where, wanted="all 64 hex digits, or a file that is there", got=text)
        remote = _address(text, where)
        return str(InputPath().read(text, where)) if remote is None else dataclasses.replace(remote, as_text=True)


_MISSPELT: Final = re.compile(":.*@")


class MetadataStore(Parameter[str]):
    """A metadata store: a URL, or a file that is there or, where it may be new, can be made.

    Args:
      new: whether the file may be new.
    """

    name = "URL or file"
    files = "file"

    def __init__(self, *, new: bool) -> None:
        self.new = new

    def read(self, text: str, where: str | None) -> str:
        """Return the URL, or the file's path; the URL is not looked up, and never repeated: it may hold a password."""
        from pipeline.metadata.address import FORMS, SqliteFile, parse_address

        address = parse_address(text)
        if not isinstance(address, SqliteFile):
            return text
        if not str(address.path).isprintable():
            raise BadInput("holds control characters", where=where, got=address.path)
        if _MISSPELT.search(text) and not os.path.lexists(text):
            # A URL whose beginning is wrong is a path like any other, and its password would be a part of the message.
            wanted = f"a path, or {', '.join(FORMS.values())}"
            raise BadInput("no such file, and no such address", where=where, wanted=wanted, got=self.shown(text))
        return str((OutputFile() if self.new else InputFile()).read(str(address.path), where))

    def shown(self, text: str) -> str:
        """Return something in place of the value."""
        del text
        return "a value that is not repeated here"


class Recipe(Parameter[str]):
    """A recipe's name, or its file."""

    name = "recipe"
    files = "file"

    def completions(self) -> Iterable[str]:
        """Return the recipes that come with the package."""
        from pipeline.config.recipe_file import recipe_names

        return recipe_names()

    def read(self, text: str, where: str | None) -> str:
        """Return the name, or the file's path."""
        from pipeline.config.recipe_file import is_file_name, recipe_names

        if is_file_name(text):
            return str(InputFile().read(text, where))
        known = recipe_names()
        if text in known:
            return text
        hint = did_you_mean(closest(text, known, str.lower))
        raise BadInput("unknown recipe", where=where, wanted=f"{', '.join(known)}, or FILE.yaml", got=text, hint=hint)


def require_pipeline(path: Path, text: object, where: str | None) -> None:
    """Refuse a folder in which no pipeline has run.

    Raises:
      BadInput: with a folder in or beside it that may have been meant.
    """
    if not path.is_dir():
        require_there(path, str(text), where, "folder")
        raise BadInput(f"{text} is no folder", where=where, wanted="a folder", got=kind_of(path.stat().st_mode))
    if not holds_pipeline(path):
        below = next((Path(str(text), name) for name in _names(path) if holds_pipeline(path / name)), None)
        hint = did_you_mean(below) or MAKES_ROOT
        raise BadInput("no pipeline has run here", where=where, got=text, hint=hint)


def resolved_file(text: str, where: str | None) -> Path:
    """Return an absolute path whose folder is resolved; the last name stays, as the name of a link may matter."""
    plain = Path(text)
    found = resolved(text, where)
    return found if plain.name in ("", "..") else resolved(str(plain.parent), where) / plain.name


def require_there(path: Path, text: str, where: str | None, kind: str) -> None:
    """Refuse a path at which there is nothing.

    Raises:
      BadInput: with the path that was probably meant.
    """
    if path.exists():
        return
    if path.is_symlink():
        raise BadInput(f"no such {kind}: a link to nothing", where=where, got=text)
    hint = _closest_path(text) or (MAKES_ROOT if where == "--root" else None)
    raise BadInput(f"no such {kind}", where=where, got=text, hint=hint)


def _closest_path(text: str) -> str | None:
    """Return the hint at a path that differs from this one in a single name, and is there."""
    plain = Path(text)
    missing = next((place for place in (*reversed(plain.parents), plain) if not place.exists()), plain)
    name = closest(missing.name, _names(missing.parent))
    if name is None:
        return None
    meant = missing.with_name(name) / plain.relative_to(missing)
    return did_you_mean(meant if meant.exists() else missing.with_name(name))


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in itertools.islice(entries, MOST_SIBLINGS))
    except OSError:
        return []


def _require(right: bool, path: Path, text: str, where: str | None, wanted: str) -> None:
    if not right:
        got = kind_of(path.stat().st_mode) if path.exists() else "a link to nothing"
        raise BadInput(f"{text} is no {wanted.removeprefix('a ')}", where=where, wanted=wanted, got=got)


def _require_no_kernels_own(folder: Path, text: str, where: str | None) -> None:
    """Refuse a folder that the kernel makes up: permissions say that root may write there, and nothing can be made."""
    device = folder.stat().st_dev
    own = (place for place in map(Path, KERNELS_OWN) if place.is_mount() and place.stat().st_dev == device)
    if (place := next(own, None)) is not None:
        what = f"nothing can be kept in {place}, which the kernel makes up"
        raise BadInput(what, where=where, wanted="a place on a disk", got=text, hint=f"choose another {where}")


def _require_writable(folder: Path, where: str | None) -> None:
    """Refuse a folder in which nothing can be made, before any work.

    Raises:
      EnvironmentProblem: naming it.
    """
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        got = os.strerror(errno.EROFS if read_only else errno.EACCES)
        raise EnvironmentProblem("not writable", where=folder, got=got, hint=f"mend that, or choose another {where}")


def _require_readable(path: Path, text: str, where: str | None) -> None:
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        raise BadInput("may not be read", where=where, got=text)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of the command line that are none come as lone surrogates
        return False
    return True
