"""Writers of the same rows in forms that people have: Parquet of the Hugging Face hub, pixels and labels in files apart."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def png(image: NDArray[np.uint8]) -> bytes:
    """Return a picture's bytes."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_parquet(
    path: Path, images: NDArray[np.uint8], labels: Sequence[Any], *, names: Sequence[str] | None = None
) -> Path:
    """Write a table as the hub does: encoded pictures, labels, and the names of classes beside the schema."""
    import pyarrow
    from pyarrow.parquet import write_table

    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    rows = [{"bytes": png(image), "path": None} for image in images]
    columns = {
        "image": pyarrow.array(rows, picture),
        "label": pyarrow.array([one if isinstance(one, str) else int(one) for one in labels]),
    }
    feature = {"_type": "ClassLabel", "names": names}
    metadata = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, "label": feature}}})}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(pyarrow.table(columns).replace_schema_metadata(metadata if names else None), path)
    return path


def write_table(path: Path, rows: Sequence[Sequence[Any]], header: str = "", delimiter: str = ",") -> Path:
    """Write rows as a CSV."""
    lines = [delimiter.join(map(str, row)) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in ([header] if header else []) + lines))
    return path
