"""Names of classes that only the data say, where the place that a pod reads from can be seen from here as well.

A pod takes labels in words only with their names in its settings, so that every pod numbers them alike. Where the data lie
out of sight, the pod that reads them first refuses them, with the option to name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import BadInput, MnistTfxError
from components.ingest import discovery, recognition, spans
from components.schema_files import declared, find_reviewed, read_schema

if TYPE_CHECKING:
    from components.ingest.forms import Form
    from components.settings import DataSettings
    from pipeline.kubeflow.compiler.data_source import DataSource


def class_names(source: DataSource, form: Form, data: DataSettings, schema: Path | None) -> tuple[str, ...]:
    """Return the names that labels have in the data; none where they have none, or are known without.

    Args:
      source: where pods find the data.
      form: of the data files.
      data: settings of the recipe.
      schema: folder with reviewed schemas, which may name the classes.

    Raises:
      BadInput: if there are more or fewer than the recipe has classes, with the option that says so.
    """
    if data.class_names or source.in_bucket or _declared(data, schema):
        return ()
    try:
        matching = spans.resolve(source.value, source.spans)
        files = (
            discovery.discover_spans(matching, form=form)
            if matching
            else discovery.discover([Path(source.value)], form=form)
        )
        recognised = recognition.recognise(files, data)
    except MnistTfxError:
        return ()  # a path in a pod is none here, or something else
    return recognised.settings(data).class_names


def _declared(data: DataSettings, schema: Path | None) -> bool:
    try:
        return bool(declared(read_schema(find_reviewed(data.geometry, schema).schema)).names)
    except BadInput:
        return False  # for the compiler to refuse
