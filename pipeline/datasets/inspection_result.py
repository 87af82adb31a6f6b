"""What a data set is, as `run` would read it: the result of an inspection."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from components.ingest.copy_paths import address_of
from pipeline.datasets.readings import NOTHING_GIVEN, Given

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Images that come more than once, whatever their label.

    Attributes:
      within: {split: rows whose image came before in it}.
      between: different images of the test part that the training part has as well.
    """

    within: Mapping[str, int]
    between: int


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a data set is, as `run` would read it with `flags`.

    Attributes:
      path: of it.
      form: `idx` or `csv`; `pictures`, `npz`, `zip` or `arff` of what `data import` has to make data files of.
      importable: whether it is one of the latter.
      files: that would be read.
      ignored: files beside them.
      rows: {split: rows}; only the parts that there are.
      shape: height and width.
      highest: the largest pixel.
      pixel_max: the range that this says, `data.pixel_max`.
      label: the label's column in a CSV, as `--label` takes it; None of other forms.
      label_count: classes, from `label_offset` on; `data.label_count`.
      label_offset: the label of the first class, `data.label_offset`.
      counts: {split: rows of each class}.
      empty_classes: those that no part has.
      class_names: of all classes, in their order; none where nothing says them.
      class_names_file: the list that says them, for `--class-names`; None where something else does.
      transpose: whether rows and columns are swapped, `data.transpose`.
      ignore_columns: columns of a CSV that are neither pixel nor label, `data.ignore_columns`.
      orientation: as which upright digits are stored, in words; None where that cannot be told.
      inverted: whether the ink is dark.
      duplicates: images that come again.
      geometry: the name that a schema for it goes by.
      schema: path of the reviewed schema that its rows fit; None where none does.
      reviewed: whether there is a reviewed schema of its geometry, whether its rows fit that or not.
      problems: why a run would refuse it before anything is trained, a sentence each.
      given: what was said about it, over what its files say.
      notes: what else is worth knowing, a sentence each, the gravest first.
      commands: what to do next, one command each; none where there are problems.
    """

    path: Path
    form: str
    importable: bool
    files: tuple[Path, ...]
    ignored: tuple[Path, ...]
    rows: Mapping[str, int]
    shape: tuple[int, int]
    highest: int
    pixel_max: int
    label: str | None
    label_count: int
    label_offset: int
    counts: Mapping[str, tuple[int, ...]]
    empty_classes: tuple[int, ...]
    class_names: tuple[str, ...]
    class_names_file: Path | None
    transpose: bool
    ignore_columns: tuple[str, ...]
    orientation: str | None
    inverted: bool
    duplicates: Duplicates
    geometry: str
    schema: Path | None
    reviewed: bool
    given: Given = NOTHING_GIVEN
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Rows of all parts."""
        return sum(self.rows.values())

    @property
    def flags(self) -> tuple[str, ...]:
        """The options that `run` needs to read it so, as words of a command line."""
        found = [*self.given.of_form, *(("--label", self.given.label) if self.given.label is not None else ())]
        if self.label_offset:
            found += ["--label-offset", str(self.label_offset)]
        if self.transpose:
            found += ["--transpose"]
        if self.ignore_columns:
            found += ["--ignore-columns", ",".join(self.ignore_columns)]
        if self.class_names_file is not None:
            found += ["--class-names", str(self.class_names_file)]
        return tuple(found)

    def name_of(self, label: int) -> str:
        """Return what a class is called: its name, or the label as it is in the files."""
        return self.class_names[label] if label < len(self.class_names) else str(label + self.label_offset)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "given"}
        paths = {name: None if (at := fields[name]) is None else str(at) for name in _PATHS}
        paths["path"] = address_of(self.path) or paths["path"]
        lists = {name: [address_of(one) or str(one) for one in fields[name]] for name in ("files", "ignored")}
        counts = {split: list(found) for split, found in self.counts.items()}
        duplicates = dataclasses.asdict(self.duplicates)
        return {**fields, **paths, **lists, "counts": counts, "duplicates": duplicates, "flags": list(self.flags)}


_PATHS: Final = ("path", "class_names_file", "schema")
