"""The fingerprint in a SavedModel, less what makes the same model other bytes with every writing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tensorflow.core.protobuf import fingerprint_pb2

FINGERPRINT: Final = "fingerprint.pb"
UUID: Final = "uuid"
"""Field of `FingerprintDef`, which TensorFlow 2.15 does not have and 2.21 fills at random; it names the writing, not the model."""


def drop_uuid(folder: Path) -> None:
    """Take out of a SavedModel's fingerprint what is another with every writing.

    Content decides here what is new: a model that was trained once more and came out the same is the same.

    Args:
      folder: of the SavedModel, which nobody reads yet.

    Raises:
      OSError: if it has no fingerprint, or that cannot be written.
    """
    file = folder / FINGERPRINT
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(file.read_bytes())
    if UUID in fingerprint.DESCRIPTOR.fields_by_name:
        fingerprint.ClearField(UUID)
        file.write_bytes(fingerprint.SerializeToString(deterministic=True))
