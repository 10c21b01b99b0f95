"""Writes the CycloneDX 1.6 SBOM of the image it runs in: `python sbom.py NAME VERSION FILE`.

Components are the installed Python distributions (importlib.metadata) and Debian packages (dpkg's own list), so what it says is
what is there. Standard library only; the same content gives the same file.
"""

import json
import sys
import uuid
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

DPKG_STATUS = Path("/var/lib/dpkg/status")
Component = dict[str, Any]


def python_components() -> list[Component]:
    """Every distribution of this interpreter, by name."""
    found = {dist.metadata["Name"].lower().replace("_", "-").replace(".", "-"): dist for dist in distributions()}
    return [_python_component(name, dist) for name, dist in sorted(found.items())]


def _python_component(name: str, dist: Distribution) -> Component:
    component: Component = {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}@{dist.version}",
        "name": name,
        "version": dist.version,
        "purl": f"pkg:pypi/{name}@{dist.version.replace('+', '%2B')}",
    }
    # An expression where the package has one (PEP 639), else its own words.
    expression, words = dist.metadata.get("License-Expression"), dist.metadata.get("License", "")
    if expression:
        component["licenses"] = [{"expression": expression}]
    elif words and len(words) < 80 and "\n" not in words:
        component["licenses"] = [{"license": {"name": words}}]
    return component


def debian_components(status: Path = DPKG_STATUS) -> list[Component]:
    """Every installed package of the operating system; none where there is no dpkg."""
    components = []
    for paragraph in status.read_text().split("\n\n") if status.is_file() else ():
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status") != "install ok installed":
            continue
        name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
        purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B').replace(':', '%3A')}?arch={architecture}"
        components.append({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl})
    return sorted(components, key=lambda each: str(each["bom-ref"]))


def bom(name: str, version: str) -> dict[str, Any]:
    """The whole document for the image `name`."""
    components = [*python_components(), *debian_components()]
    image = f"pkg:oci/{name}@{version}"
    # From the content, so that two builds of the same thing say the same.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([image, components], sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "bom-ref": image, "name": name, "version": version},
            "properties": [{"name": "python", "value": sys.version.split()[0]}],
        },
        "components": components,
        "dependencies": [{"ref": image, "dependsOn": [each["bom-ref"] for each in components]}],
    }


if __name__ == "__main__":
    _, image_name, image_version, file = sys.argv
    Path(file).write_text(json.dumps(bom(image_name, image_version), indent=1) + "\n")
