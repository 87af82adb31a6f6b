"""The package about a served version: a zip with the page, all that it rests on, and a script that checks it offline."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from components.digest import canonical_json, sha256_bytes
from components.errors import EnvironmentProblem
from components.serving import SIGNATURE
from components.untrusted import LARGEST_ARRAYS, read_bytes
from pipeline.lineage.evidence import check
from pipeline.lineage.evidence.facts import Facts
from pipeline.lineage.evidence.page import page
from pipeline.lineage.export.cyclonedx import cyclonedx
from pipeline.provenance import keys, ledger_lines, record_store
from pipeline.provenance.artifacts import checked_path
from pipeline.provenance.records import DATA
from pipeline.provenance.statement import LARGEST, manifest_of
from pipeline.root.paths import RunPaths

README, SCRIPT, PAGE, CARD = "README.txt", "check.py", "evidence.html", "model-card.cdx.json"

_README: Final = """Evidence about version {version} of {recipe}

To read:   evidence.html, in any browser; it needs no network.
To check:  python3 check.py
           It needs Python 3.8 or newer and nothing else, reads this folder alone, and says line by line what holds. With
           --key and a public key that you trust it checks the signature, with --expect-head a head of the ledger that
           was kept elsewhere, with --model a copy of the served model, with --data files of data.
           Whoever could rewrite all of this could write another package that is as consistent: compare the SHA-256 of
           the zip file with the one that was printed when it was made.

manifest.json        size and SHA-256 of every other file here
statement.json       what the model was made from, as it is served with it: in-toto, SLSA provenance
signature.dsse.json  signatures over the statement, if there are any: DSSE
public-key.pem       the public key that was given when this was made, if one was
records/             a record of each step, named by the SHA-256 of its bytes
ledger.jsonl         the chain of all events, a line each
data-files.json      the data files and their digests; the data themselves are not here
facts.json           the facts of the page, for programs
model-card.cdx.json  bill of materials with a model card: CycloneDX 1.6
model/               the served files, if they were asked for
"""


def package(facts: Facts, *, key: Path | None = None, with_model: bool = False) -> bytes:
    """Return the zip; the same root gives the same bytes.

    Args:
      facts: about the version.
      key: public key that goes along.
      with_model: whether the served files go along.

    Raises:
      EnvironmentProblem: if a file cannot be read.
    """
    files = dict(_files(facts, key))
    if with_model:
        files |= _model(facts)
    listed = {name: {"bytes": len(data), "sha256": sha256_bytes(data)} for name, data in files.items()}
    return _zip({**files, check.MANIFEST: canonical_json(listed)})


def _files(facts: Facts, key: Path | None) -> Iterator[tuple[str, bytes]]:
    paths, known = RunPaths(facts.known.root), facts.known
    yield README, _README.format(version=facts.version, recipe=known.recipe).encode()
    yield SCRIPT, Path(check.__file__).read_bytes()
    yield PAGE, page(facts).encode()
    yield CARD, cyclonedx(known).encode()
    yield check.FACTS, canonical_json(facts.to_dict())
    yield check.DATA_FILES, canonical_json(_data_files(facts))
    yield check.STATEMENT, known.data
    signature = paths.version(facts.version) / SIGNATURE
    if signature.is_file():
        yield check.SIGNATURE, read_bytes(signature, limit=LARGEST, error=EnvironmentProblem)
    if key is not None:
        yield check.PUBLIC_KEY, read_bytes(key, limit=keys.LIMIT)
    if paths.ledger.is_file():
        # As far as the facts know it: another process may have written since.
        lines = read_bytes(paths.ledger, limit=ledger_lines.LARGEST).split(b"\n")[: facts.head.sequence]
        yield check.LEDGER, b"".join(line + b"\n" for line in lines)
    for hash_ in facts.record_hashes:
        yield f"{check.RECORDS}/{hash_}.json", record_store.read_record_bytes(paths.records, hash_)


def _data_files(facts: Facts) -> list[dict[str, Any]]:
    """Return the data files, under the names by which they were given and under those by which they are kept."""
    given = {file.sha256: file.name for file in facts.data.files}
    entries = [file for record in facts.executions.values() for file in record.extra.get(DATA, {}).get("files", ())]
    return [
        {
            "name": given.get(file["payload_digest"], file["name"]),
            "kept_as": file["name"],
            "sha256": file["payload_digest"],
            "bytes": file["bytes"],
            "rows": file.get("rows"),
        }
        for file in entries
    ]


def _model(facts: Facts) -> dict[str, bytes]:
    folder = RunPaths(facts.known.root).version(facts.version)
    names = [checked_path(name) for name in manifest_of(facts.known.statement)]
    # What is missing or another kind of file is left out: the audit says so, and the script will.
    present = [name for name in names if (folder / name).is_file() and not (folder / name).is_symlink()]
    return {f"{check.MODEL}/{name}": read_bytes(folder / name, limit=LARGEST_ARRAYS) for name in present}


def _zip(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            # No time and no owner: the bytes follow from the files alone.
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return stream.getvalue()
