"""Folder of the reviewed schemas in a pod."""

from __future__ import annotations

from pathlib import Path

from pipeline.kubeflow import names, places


def folder(source: str) -> Path | None:
    """Return the folder; None for the image's own, as `components.schema_files.find_reviewed` takes it."""
    return None if source == names.IMAGE_SCHEMA else places.volume(source)
