"""A Dockerfile and the script it runs -> what is wrong with them, rule by rule: hadolint's most useful ones, and ours."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Final

import dockerfile
from dockerfile import Stage

INSTALL: Final = "/opt/mnist-tfx/kubeflow/install.sh"
FINAL: Final = ("cpu", "gpu")
LABELS: Final = ("title", "description", "licenses", "revision")
BAKED: Final = {"MNIST_TFX_GIT_COMMIT": "0" * 40, "MNIST_TFX_GIT_TREE": "clean"}
"""What the image says of its sources, if the build is given `GIT_COMMIT` and `GIT_TREE`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How an image comes about.

    Attributes:
      text: of the Dockerfile.
      script: of what its `RUN` instructions call.
    """

    text: str
    script: str

    @property
    def stages(self) -> tuple[Stage, ...]:
        given = {name.removeprefix("MNIST_TFX_"): value for name, value in BAKED.items()}
        return dockerfile.stages(self.text, given)

    @property
    def commands(self) -> str:
        """Everything a shell gets to see, one command a line."""
        return re.sub(r"\\\n", " ", self.script) + "\n".join(value for _, value in self.every("RUN"))

    def every(self, word: str) -> Iterator[tuple[Stage, str]]:
        for stage in self.stages:
            yield from ((stage, step.value) for step in stage.instructions if step.word == word)


Rule = Callable[[Recipe], Iterator[str]]


def foreign_images_are_pinned(recipe: Recipe) -> Iterator[str]:
    known = {stage.name for stage in recipe.stages}
    for stage in recipe.stages:
        if stage.base not in known and not re.search(r"(:\d+\.\d+[\w.-]*|@sha256:[0-9a-f]{64})$", stage.base):
            yield f"{stage.name}: {stage.base} moves: wanted a release's tag or a digest"


def images_run_as_a_numbered_user(recipe: Recipe) -> Iterator[str]:
    for name in FINAL:
        user = dockerfile.user(dockerfile.inherited(name, recipe.stages))
        if not re.fullmatch(r"[1-9]\d*", user):
            yield f"{name}: USER {user}: wanted a number other than 0"
    for stage in recipe.stages:
        if stage.name in FINAL and stage.instructions[-1].word not in ("USER", "CMD"):
            yield f"{stage.name}: wanted USER last, behind {stage.instructions[-1].word}"


def nothing_is_added_by_address(recipe: Recipe) -> Iterator[str]:
    for stage, value in recipe.every("ADD"):
        yield f"{stage.name}: ADD {value}: wanted COPY"
    yield from (f"an address: {found}" for found in re.findall(r"https?://\S+", recipe.text + recipe.script))


def nothing_downloaded_is_piped_into_a_shell(recipe: Recipe) -> Iterator[str]:
    for found in re.findall(r"(?:curl|wget)\b[^\n|]*\|[^\n]*\b(?:ba|da|z)?sh\b", recipe.commands):
        yield f"runs what it downloads: {found.strip()}"


def apt_installs_no_more_than_it_is_asked(recipe: Recipe) -> Iterator[str]:
    for line in recipe.commands.splitlines():
        if re.search(r"\bapt(-get)?\b.*\binstall\b", line) and "--no-install-recommends" not in line:
            yield f"wanted --no-install-recommends: {line.strip()}"


def apt_leaves_no_lists(recipe: Recipe) -> Iterator[str]:
    updates = len(re.findall(r"\bapt-get update\b", recipe.commands))
    removals = len(re.findall(r"\brm -rf /var/lib/apt/lists/\*", recipe.commands))
    if removals < updates:
        yield f"{updates} times apt-get update, {removals} times its lists are removed"


def files_are_copied_from_stages_there_are(recipe: Recipe) -> Iterator[str]:
    seen: set[str] = set()
    for stage in recipe.stages:
        for step in stage.instructions:
            source = step.option("from") if step.word == "COPY" else None
            if source is not None and source not in seen:
                yield f"{stage.name}: COPY --from={source}: wanted an earlier stage: {', '.join(sorted(seen))}"
        seen.add(stage.name)


def both_images_are_there(recipe: Recipe) -> Iterator[str]:
    missing = set(FINAL) - {stage.name for stage in recipe.stages}
    yield from (f"no stage {name}" for name in sorted(missing))


def the_commit_is_baked_in(recipe: Recipe) -> Iterator[str]:
    for name in FINAL:
        found = dockerfile.environment(dockerfile.inherited(name, recipe.stages))
        for variable, wanted in BAKED.items():
            if found.get(variable) != wanted:
                yield f"{name}: {variable} is {found.get(variable)!r}: wanted the build's argument"


def images_are_labelled(recipe: Recipe) -> Iterator[str]:
    for name in FINAL:
        steps = dockerfile.inherited(name, recipe.stages)
        found = {key: value for step in steps if step.word == "LABEL" for key, value in step.pairs().items()}
        for label in LABELS:
            if not found.get(f"org.opencontainers.image.{label}"):
                yield f"{name}: no label {label}"


def every_run_is_a_step_of_the_script(recipe: Recipe) -> Iterator[str]:
    steps = set(re.findall(r"^(\w+)\(\) \{$", recipe.script, re.MULTILINE)) - {"debian_packages", "from_index"}
    ran = {value for _, value in recipe.every("RUN")}
    yield from (f"RUN {value}: wanted a step of {INSTALL}" for value in ran - {f"{INSTALL} {step}" for step in steps})
    yield from (f"no RUN {INSTALL} {step}" for step in sorted(steps) if f"{INSTALL} {step}" not in ran)


def what_builds_stays_out_of_the_images(recipe: Recipe) -> Iterator[str]:
    for name in FINAL:
        chain = [stage.name for stage in dockerfile.ancestry(name, recipe.stages)]
        for step in dockerfile.inherited(name, recipe.stages):
            if step.word == "RUN" and step.value != f"{INSTALL} runtime":
                yield f"{name}: {step.value} in {' < '.join(chain)}: wanted a stage that files are copied from"


RULES: Final[tuple[Rule, ...]] = (
    both_images_are_there,
    foreign_images_are_pinned,
    images_run_as_a_numbered_user,
    nothing_is_added_by_address,
    nothing_downloaded_is_piped_into_a_shell,
    apt_installs_no_more_than_it_is_asked,
    apt_leaves_no_lists,
    files_are_copied_from_stages_there_are,
    the_commit_is_baked_in,
    images_are_labelled,
    every_run_is_a_step_of_the_script,
    what_builds_stays_out_of_the_images,
)
