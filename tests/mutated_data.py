"""Data files of all dialects, damaged at random from a seed: `mutated_data.py N [SEED]` reads N of each form.

What reads them may say no, in words of ours and within a second; any other exception is printed with its file.
"""

from __future__ import annotations

import gzip
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from components.errors import MnistTfxError
from components.ingest import csv_rows, discovery, idx, source
from components.ingest.beginnings import check_beginnings
from components.settings import DataSettings

EIGHT = DataSettings(shape=(8, 8), pixel_max=16)
SLOW_S = 1.0
IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
HEADERS = (
    None,
    ["label", *(f"pixel{i}" for i in range(64))],
    [str(i) for i in range(65)],
    [f"{i}.0" for i in range(65)],
    ["label", *(f"{row}x{column}" for row in range(8) for column in range(8))],
    ["", *(str(i) for i in range(64))],
    ["0", *(f"0.{i}" for i in range(1, 65))],
)
PIECES = (
    *(b"\0", b'"', b"'", b"\r", b"\n", b",", b"\t", b" ", b"\xff", b"\xef\xbb\xbf", b"-", b"_", b"x", b"\\", b'""'),
    *(b"9" * 5000, b"1" * 20_000, b"1e999", b"nan", b"inf", b"1_0", b"0x1", b"label", b",,,,", b"\x0b", b"\x0c"),
    *("\u0663".encode(), "\u00b2".encode(), b"\x1c", "\u2028".encode(), b"\x1f\x8b", b"PK\x03\x04", b"\0\0\x08\x01"),
)


def csv_bytes(rng: random.Random) -> bytes:
    """Returns a CSV of 1 to 12 rows."""
    rows = [[rng.randint(0, 9), *(rng.randint(0, 16) for _ in range(64))] for _ in range(rng.randint(1, 12))]
    header, mark = rng.choice(HEADERS), rng.choice((",", ",", ",", "\t", "\t", ";"))
    lines = [mark.join(map(str, row)) for row in ([header] if header else []) + rows]
    return (rng.choice(("", "\ufeff")) + rng.choice(("\n", "\r\n")).join(lines) + rng.choice(("", "\n"))).encode()


def idx_bytes(rng: random.Random) -> tuple[bytes, bytes]:
    """Returns an IDX pair of 1 to 12 rows."""
    count = rng.randint(1, 12)
    pixels, labels = (bytes(rng.randint(0, top) for _ in range(size)) for top, size in ((16, 64 * count), (9, count)))
    return struct.pack(">4I", 0x803, count, 8, 8) + pixels, struct.pack(">2I", 0x801, count) + labels


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Returns the bytes with up to eight accidents, most of them near the beginning, where the meaning is."""
    found = bytearray(content)
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3, 8))):
        places = [rng.randrange(len(found) + 1) for _ in range(rng.choice((1, 3)))]
        at, other = min(places), rng.randrange(len(found) + 1)
        first, last = min(at, other), max(at, other)
        accident = rng.randrange(6)
        if accident == 0 and found:
            found[min(at, len(found) - 1)] = rng.randrange(256)
        elif accident == 1:
            found[at:at] = rng.choice(PIECES)
        elif accident == 2:
            del found[first : min(last, first + rng.choice((1, 4, 10_000)))]
        elif accident == 3:
            found[at:at] = found[first:last]
        elif accident == 4:
            found[at : at + rng.choice((1, 1, 3))] = rng.choice(PIECES)
        else:
            _replace_field(found, rng)
    return bytes(found)


def _replace_field(found: bytearray, rng: random.Random) -> None:
    end = found.find(b"\n")
    fields = bytes(found[: end if end >= 0 else len(found)]).split(b",")
    fields[rng.randrange(len(fields))] = rng.choice(PIECES)
    found[: end if end >= 0 else len(found)] = b",".join(fields)


def packed(content: bytes, rng: random.Random) -> bytes:
    """Returns the bytes raw or as gzip, which may be damaged once more."""
    if rng.random() < 0.7:
        return content
    container = gzip.compress(content, 1, mtime=0)
    return damaged(container, rng) if rng.random() < 0.3 else container


def read_csv(content: bytes, folder: Path, rng: random.Random) -> None:
    """Reads one CSV as a run does."""
    path = folder / "train.csv"
    path.write_bytes(content)
    data = EIGHT.model_copy(update={"label": rng.choice(("auto", "first", "first", "last", "label"))})
    files = discovery.discover([path])
    discovery.geometry(files)
    source.named_inputs(files.parts, form=files.form, data=data)
    for _ in csv_rows.iter_chunks(path, data, rows=100):
        pass


def read_idx(contents: tuple[bytes, bytes], folder: Path) -> None:
    """Reads one IDX pair as a run does."""
    paths = [folder / name for name in IDX_NAMES]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    files = discovery.discover(paths)
    discovery.geometry(files)
    check_beginnings(files.parts, form=files.form, data=EIGHT)
    source.named_inputs(files.parts, form=files.form, data=EIGHT)
    for _ in idx.iter_chunks(*paths, rows=100, data=EIGHT):
        pass


def outcome(form: str, seed: int, folder: Path) -> str:
    """Damages and reads one file or pair; returns `read`, `refused`, or what no reader may do."""
    rng, before = random.Random(f"{form} {seed}"), time.process_time()
    try:
        if form == "csv":
            read_csv(packed(damaged(csv_bytes(rng), rng), rng), folder, rng)
        else:
            one, other = idx_bytes(rng)
            both = rng.random() < 0.2
            hurt = rng.random() < 0.5
            one = damaged(one, rng) if hurt or both else one
            other = damaged(other, rng) if not hurt or both else other
            read_idx((packed(one, rng), packed(other, rng)), folder)
        found = "read"
    except MnistTfxError as err:
        found = "refused" if len(str(err)) < 3000 and "\n" not in str(err) and err.to_dict() else f"long: {err}"
    except Exception as err:  # noqa: BLE001  # to be counted
        found = f"{type(err).__name__}: {err}"
    seconds = time.process_time() - before
    return found if seconds < SLOW_S else f"{found} after {seconds:.1f} s"


def main() -> int:
    """Prints how many files were read and refused, and each that did anything else."""
    count, start = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for form in ("csv", "idx"):
            for seed in range(start, start + count):
                found = outcome(form, seed, Path(folder))
                tally[f"{form} {found if found in ('read', 'refused') else 'at fault'}"] += 1
                if found not in ("read", "refused"):
                    sys.stdout.write(f"{form} {seed} {found}\n")
    sys.stdout.write(f"{dict(tally)}\n")
    return int(any("at fault" in key for key in tally))


if __name__ == "__main__":
    sys.exit(main())
