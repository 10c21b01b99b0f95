"""The SBOM says what is installed, in CycloneDX 1.6, and says the same of the same content."""

import json
import runpy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "k8s" / "images"
SBOM = runpy.run_path(str(IMAGES / "sbom.py"))
THIRD_PARTY = runpy.run_path(str(IMAGES / "third_party.py"))


def test_every_component_is_named_once_with_its_version() -> None:
    document: dict[str, Any] = SBOM["bom"]("mizzen/gateway", "1.2.3")
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert document["serialNumber"].startswith("urn:uuid:")
    references = [component["bom-ref"] for component in document["components"]]
    assert len(references) == len(set(references)) > 100
    found = {component["name"]: component for component in document["components"]}
    assert found["pydantic"]["purl"] == f"pkg:pypi/pydantic@{found['pydantic']['version']}"
    assert document["dependencies"][0]["dependsOn"] == references
    assert json.dumps(document) == json.dumps(SBOM["bom"]("mizzen/gateway", "1.2.3"))


def test_debian_packages_are_read_from_dpkg(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text(
        "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2+b7\nDescription: a\n shell: x\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n"
    )
    (component,) = SBOM["debian_components"](status)
    assert component["purl"] == "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64"
    assert SBOM["debian_components"](tmp_path / "none") == []


def test_the_third_party_layer_has_no_code_of_ours() -> None:
    rooms = ROOT / "services"
    needs: set[str] = set().union(*(THIRD_PARTY["third_party"](path) for path in rooms.glob("*/pyproject.toml")))
    assert {"grpcio", "uvicorn", "kubernetes"} <= needs
    assert not [need for need in needs if need.startswith("mizzen")]


def test_the_services_images_look_alike() -> None:
    texts = {
        room: (ROOT / "services" / room / "Dockerfile").read_text()
        for room in ("gateway", "features", "retrieval", "monitoring", "control")
    }
    bodies = {
        "\n".join(
            line
            for line in text.replace(room, "ROOM").splitlines()
            if "EXPOSE" not in line and "description" not in line
        )
        for room, text in texts.items()
    }
    assert len(bodies) == 1
    for text in texts.values():
        assert text.splitlines()[-1].startswith('ENTRYPOINT ["python3", "-m", ')
        assert "\nUSER 10001:10001\n" in text
