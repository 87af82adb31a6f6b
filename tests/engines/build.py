"""Flink, Spark and Beam's job servers for them, below .tools/engines: from PyPI and by Maven, a gigabyte.

    cd tests && python -m engines.build

Beam publishes job servers ready made, at the version of its Python, but not every registry serves them. What is built here
is the newest version of which every module is published: a pair that is proven by `make test-engines`, and no other.
"""

from __future__ import annotations

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


def home(engine: str) -> Path:
    """Return where an engine is installed."""
    package = "pyflink" if engine == "flink" else "pyspark"
    found = sorted((TOOLS / engine / "lib").glob(f"python3.*/site-packages/{package}"))
    return found[0] if found else TOOLS / engine / package


def missing() -> str | None:
    """Return a sentence about what has to be done before a cluster can be started; None if nothing has."""
    tools = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if tools:
        return f"no {' and no '.join(tools)}: Flink and Spark need Java 17, and Maven for Beam's job servers"
    built = JAR.is_file() and CLASS_PATH.is_file() and all(home(engine).is_dir() for engine in DISTRIBUTIONS)
    return None if built else "make engines has not been run, or failed"


def main() -> None:
    """Build what is not there; end with a sentence where something is not served."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    if shutil.which("java") is None or shutil.which("mvn") is None:
        sys.exit(missing())
    if not JAR.is_file():
        maven("flink-job-server.pom.xml", f"-Dengines.build={JAR.parent}", "package")
    if not CLASS_PATH.is_file():
        maven("spark-job-server.pom.xml", "dependency:build-classpath", f"-Dmdep.outputFile={CLASS_PATH}")
    for engine, distributions in DISTRIBUTIONS.items():
        if not home(engine).is_dir():
            run(sys.executable, "-m", "venv", str(TOOLS / engine))
            run(str(TOOLS / engine / "bin" / "pip"), "install", "--quiet", "--no-deps", *distributions)
    click.echo(TOOLS)


def maven(pom: str, *arguments: str) -> None:
    """Run Maven on one of our POMs."""
    run("mvn", "-q", "-B", "-f", str(HERE / pom), *arguments)


def run(*command: str) -> None:
    """Run a command; its failure is ours, in a sentence."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        sys.exit(f"{' '.join(command[:2])} failed: {said[0] if said else done.returncode}")


if __name__ == "__main__":
    main()
