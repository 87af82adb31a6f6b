"""A root and its served versions: what each was made from, whether that is true, and what it answers."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import BadInput, MnistTfxError
from pipeline.cli.python.models import Model, Prediction, environment_kept, of_answers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.audit.findings import Audit
    from pipeline.lineage.impact import Impact
    from pipeline.lineage.show import ServedLineage

PathLike = str | os.PathLike[str]


def open_root(root: PathLike) -> Root:
    """Return the root in a folder; nothing is changed there, and every question reads it anew.

    Raises:
      BadInput: if no pipeline has run there.
    """
    from pipeline.root.paths import holds_pipeline

    path = Path(root).absolute()
    if not path.is_dir():
        raise BadInput("no such folder", where=path, hint="name the root of a pipeline, such as runs/digits")
    if not holds_pipeline(path):
        raise BadInput("no pipeline has run here", where=path, hint="mnist_tfx.run(root=...) makes a root")
    return Root(path=path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Root:
    """The folder of a pipeline.

    Attributes:
      path: absolute.
    """

    path: Path

    @property
    def versions(self) -> tuple[Version, ...]:
        """The served versions that were pushed here, lowest number first.

        Raises:
          EnvironmentProblem: if ledger or serving directory cannot be read.
        """
        from pipeline.provenance.serving_directory import ServingDirectory
        from pipeline.root.paths import RunPaths

        directory = ServingDirectory.of(RunPaths(self.path))
        pushes = {number: push.line.time for number, push in directory.pushes.items()}
        return tuple(
            Version(root=self.path, number=one.version, path=one.path, pushed=pushes.get(one.version))
            for one in directory.ours
        )

    @property
    def newest(self) -> Version:
        """The version that is served.

        Raises:
          BadInput: if nothing was pushed yet.
          EnvironmentProblem: if what was pushed is gone.
        """
        versions = self.versions
        if versions:
            return versions[-1]
        from pipeline.provenance.serving_directory import ServingDirectory
        from pipeline.root.paths import RunPaths

        raise ServingDirectory.of(RunPaths(self.path)).nothing_served()

    def version(self, number: int) -> Version:
        """Return a served version.

        Raises:
          BadInput: if it is not there.
        """
        versions = {one.number: one for one in self.versions}
        if number not in versions:
            wanted = f"one of {', '.join(map(str, versions))}" if versions else None
            raise BadInput("no such version", where=self.path, wanted=wanted, got=number)
        return versions[number]

    def audit(self) -> tuple[Audit, ...]:
        """Return the audit of everything in the serving directory, as `mnist-tfx lineage audit` does."""
        from pipeline.audit.audit import audit_all

        return tuple(audit_all(self.path))

    def used_in(self, image: PathLike | NDArray[np.uint8]) -> Impact:
        """Return the models that an image, or a data file, went into, and in which role.

        Its `answer` is `yes`, `no` or `cannot-tell`; `models` are those on record, served or not; `unknown` says why it
        cannot be told, and `proofs` prove it either way for a single image.

        Args:
          image: a picture or data file, or the pixels of one image, uint8 [H, W] as the data hold it.

        Raises:
          BadInput: if it cannot be read, or has another size than any data here.
        """
        from pipeline.lineage import impact
        from pipeline.lineage.index import open_lineage

        if isinstance(image, (str, os.PathLike)):
            path = Path(image)
            if not path.exists():
                # `impact` takes a digest as well, and would look for one of this name.
                raise BadInput("no such file", where=path)
            return impact.impact(open_lineage(self.path), [str(path)])
        from pipeline.lineage.rows.images import Picture

        if image.ndim != 2 or image.dtype != "uint8":
            got = f"{image.dtype} of {' x '.join(map(str, image.shape))}"
            raise BadInput("not one image", wanted="uint8 of H x W", got=got)
        return impact.impact_of_picture(open_lineage(self.path), Picture.of(image), "array")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Version:
    """A served version.

    Attributes:
      root: path of its root.
      number: of the version.
      path: of its folder.
      pushed: when, in UTC; None where no push of it is recorded.
    """

    root: Path
    number: int
    path: Path
    pushed: str | None

    def lineage(self) -> ServedLineage:
        """Return what it was made from, back to the data files: `graph` has the nodes and edges, `to_dict` JSON values.

        Raises:
          EnvironmentProblem: if its manifest, a record or the ledger cannot be read.
        """
        from pipeline.lineage.show import show

        return show(self.root, self.number)

    def audit(self) -> Audit:
        """Return the three verdicts on it, with their findings; `passed()` says whether all of them are PASS.

        Raises:
          BadInput: if it is gone.
        """
        from pipeline.audit.audit import audit_version

        return audit_version(self.root, self.number)

    def model(self) -> Model:
        """Load it, after every byte was compared with what was pushed.

        Raises:
          Refused: if its bytes are not those that were pushed.
          EnvironmentProblem: if TensorFlow cannot load it.
        """
        from pipeline.predict.answer import choose

        return Model(choose(self.root, self.number))

    def predict(
        self, images: PathLike | Sequence[PathLike] | NDArray[np.uint8], *, dark: bool | None = None
    ) -> tuple[Prediction, ...]:
        """Return its answers about pictures or arrays, after the same comparison as `model`.

        Args:
          images: picture files, or folders of them, which are brought into the form of the model's data as `mnist-tfx
            predict` does; or an array as `Model.predict` takes it. `model` is quicker for arrays that come one by one.
          dark: whether the ink of pictures is darker than the paper; told from each picture by default.

        Raises:
          BadInput: if one of the files cannot be read, or an array has another shape.
          Refused: if its bytes are not those that were pushed.
        """
        if isinstance(images, (str, os.PathLike)):
            return self._read([images], dark)
        if isinstance(images, Sequence) and all(isinstance(one, (str, os.PathLike)) for one in images):
            return self._read(images, dark)
        import numpy as np

        return self.model().predict(np.asarray(images))

    def _read(self, paths: Sequence[PathLike], dark: bool | None) -> tuple[Prediction, ...]:
        from pipeline.predict import prediction

        request = prediction.Request(named=tuple(map(Path, paths)), root=self.root, version=self.number, dark=dark)
        with environment_kept():
            found = prediction.predict(request, lambda _: None, lambda *_: None)
        problems: list[MnistTfxError] = [BadInput(one.why, where=one.path) for one in found.unreadable]
        # Their answers are counted and written, not returned: nobody should take none for an answer.
        hint = "give their rows as an array, or `mnist-tfx predict FILE -o answers.csv`"
        problems += [BadInput("rows, not pictures", where=one.path, got=one.rows, hint=hint) for one in found.tables]
        if problems:
            raise BadInput.of_several(problems)
        return of_answers(found.to_dict()["files"], found.names)
