"""Screenshots for the documentation: `make pictures` photographs the report and the lineage page of a real run.

Chromium draws the pages as a reader's browser would; sixty-four colours keep each picture below a hundred kilobytes.
"""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = PROJECT / "docs" / "pictures"
COLOURS: Final = 64
PAGES: Final = {
    "report": (["report"], (1240, 780)),
    "lineage": (["lineage", "export", "--format", "html"], (1440, 620)),
}
"""{picture: (command that writes the page, (width, height) of what is shown)}."""


def main() -> None:
    """Write both pictures of the root that the command line names."""
    sys.path.insert(0, str(PROJECT / "tests"))
    import browser

    chromium = browser.executable()
    if chromium is None:
        raise SystemExit("no Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, browser.started(chromium, Path(folder) / "profile") as started:
        for picture, (command, (width, height)) in PAGES.items():
            page = Path(folder) / f"{picture}.html"
            _run(*command, "--root", sys.argv[1], "-o", str(page))
            started.open(page, width=width)
            clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
            shot = started.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
            _write(FOLDER / f"{picture}.png", base64.b64decode(shot["data"]))


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pipeline", *arguments], cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)


def _write(path: Path, png: bytes) -> None:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(COLOURS).save(path, optimize=True)


if __name__ == "__main__":
    main()
