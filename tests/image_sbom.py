"""What an image holds -> a CycloneDX 1.6 bill of materials: distributions of Python and packages of Debian alike.

The image is asked itself, from inside, so that what a stage left behind counts and what a lock names does not. The library
writes the format; cyclonedx-bom, the tool on top of it, knows Python's distributions alone.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

if TYPE_CHECKING:
    from build_image import Storage

ASK: Final = """
import importlib.metadata, json, subprocess
dpkg = ["dpkg-query", "--show", "--showformat=${Package} ${Version} ${Architecture}\\n"]
debian = subprocess.run(dpkg, capture_output=True, text=True, check=True).stdout
python = [[one.name, one.version, one.metadata["License-Expression"]] for one in importlib.metadata.distributions()]
print(json.dumps({"debian": [line.split() for line in debian.splitlines()], "python": python}))
"""


def write(storage: Storage, tag: str, folder: Path) -> Path:
    """Write the bill of materials of an image, and return where."""
    about = json.loads(storage.ask("buildah", "inspect", "--type=image", tag))["OCIv1"]
    container = storage.ask("buildah", "from", "--pull-never", tag)
    try:
        held = json.loads(storage.ask("buildah", "run", "--isolation=chroot", container, "--", "python", "-c", ASK))
    finally:
        storage.ask("buildah", "rm", container)
    path = folder / f"{tag.rpartition('/')[2].replace(':', '-')}.cdx.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(bill(tag, about, held))
    return path


def bill(tag: str, about: dict[str, Any], held: dict[str, list[list[str]]]) -> str:
    """Return the bill of an image, given its OCI configuration and what it says that it holds."""
    labels = about["config"]["Labels"]
    name, _, version = tag.rpartition(":")
    layers = about["rootfs"]["diff_ids"]
    image = Component(
        type=ComponentType.CONTAINER,
        name=name,
        version=version,
        bom_ref="image",
        licenses=[LicenseFactory().make_from_string(labels["org.opencontainers.image.licenses"])],
        properties=[
            Property(name="mnist-tfx:commit", value=labels["org.opencontainers.image.revision"]),
            *(Property(name=f"mnist-tfx:layer:{at}", value=layer) for at, layer in enumerate(layers)),
        ],
    )
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(layers)),  # the same bytes have the same bill
        metadata=BomMetaData(timestamp=dt.datetime.fromisoformat(about["created"][:19] + "+00:00"), component=image),
        components=_components(held),
    )
    bom.register_dependency(image, bom.components)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1) + "\n"


def _components(held: dict[str, list[list[str]]]) -> Iterator[Component]:
    for name, version, licence in held["python"]:
        yield _component(PackageURL("pypi", name=name.lower().replace("_", "-"), version=version), name, licence)
    for name, version, architecture in held["debian"]:
        yield _component(PackageURL("deb", "debian", name, version, {"arch": architecture}), name)


def _component(url: PackageURL, name: str, licence: str | None = None) -> Component:
    licences = [LicenseFactory().make_from_string(licence)] if licence else []
    kind = ComponentType.LIBRARY
    return Component(type=kind, name=name, version=url.version, purl=url, bom_ref=str(url), licenses=licences)
