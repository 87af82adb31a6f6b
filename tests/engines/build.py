"""Flink, Spark and Beam's job servers for them, below .tools/engines: from PyPI and by Maven, a gigabyte.

    cd tests && python -m engines.build

Beam publishes job servers ready made, at the version of its Python, but not every registry serves them. What is built here
is the newest version of which every module is published: a pair that is proven by `make test-engines`, and no other.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import click

PROJECT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
TOOLS: Final = PROJECT / ".tools" / "engines"

DISTRIBUTIONS: Final = {
    # Without what they need: Flink's wants a Beam of three years ago.
    "flink": ("apache-flink==1.19.3", "apache-flink-libraries==1.19.3"),
    "spark": ("pyspark==3.5.0",),
}
JAR: Final = TOOLS / "build-flink" / "flink-job-server.jar"
CLASS_PATH: Final = TOOLS / "spark.classpath"


class NotBuilt(Exception):
    """Says why an engine cannot be had here."""


def home(engine: str) -> Path:
    """Return where an engine is installed."""
    package = "pyflink" if engine == "flink" else "pyspark"
    found = sorted((TOOLS / engine / "lib").glob(f"python3.*/site-packages/{package}"))
    return found[0] if found else TOOLS / engine / package


def build(engine: str) -> None:
    """Build what a cluster of an engine needs, unless it is there.

    Raises:
      NotBuilt: where Java, Maven or a part is not to be had.
    """
    # Written last: Maven and pip leave something under the final name when they are killed.
    stamp, wanted = TOOLS / f"{engine}.built", identity(engine)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    if lacking := [name for name in ("java", "mvn") if shutil.which(name) is None]:
        raise NotBuilt(f"no {' and no '.join(lacking)}: Flink and Spark need Java 17, and Maven for Beam's job servers")
    TOOLS.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(TOOLS / engine, ignore_errors=True)
    if engine == "flink":
        maven("flink-job-server.pom.xml", f"-Dengines.build={JAR.parent}", "package")
    else:
        maven("spark-job-server.pom.xml", "dependency:build-classpath", f"-Dmdep.outputFile={CLASS_PATH}")
    run(sys.executable, "-m", "venv", str(TOOLS / engine))
    run(str(TOOLS / engine / "bin" / "pip"), "install", "--quiet", "--no-deps", *DISTRIBUTIONS[engine])
    stamp.write_text(wanted)


def identity(engine: str) -> str:
    """Return what tells one build from another."""
    pom = (HERE / f"{engine}-job-server.pom.xml").read_bytes()
    return f"{' '.join(DISTRIBUTIONS[engine])} {hashlib.sha256(pom).hexdigest()}\n"


def maven(pom: str, *arguments: str) -> None:
    """Run Maven on one of our POMs."""
    run("mvn", "-q", "-B", "-f", str(HERE / pom), *arguments)


def run(*command: str) -> None:
    """Run a command.

    Raises:
      NotBuilt: if it fails.
    """
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise NotBuilt(f"{' '.join(command[:2])} failed: {said[0] if said else done.returncode}")


def main() -> None:
    """Build both; end with a sentence where something is not served."""
    try:
        for engine in DISTRIBUTIONS:
            build(engine)
    except NotBuilt as err:
        sys.exit(str(err))
    click.echo(TOOLS)


if __name__ == "__main__":
    main()
