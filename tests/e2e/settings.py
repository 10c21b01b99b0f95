"""Where the run happens, from the environment; every variable is listed in the README beside this file."""

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Settings:
    """`nodes` says how images get on nodes: kit, kind or none (they are there, or nodes can pull them)."""

    namespace: str
    nodes: str
    kit: str
    kind_name: str
    tag: str
    gateway_class: str
    gateway_port: int
    address: str
    shared_directory: str
    shared_class: str
    crds: bool
    kserve_crds: Path
    values: str
    results: Path
    rate: int
    calls: int


def read() -> Settings:
    """Defaults fit the kit with its gateway, kwok and Prometheus."""
    given = os.environ.get
    return Settings(
        namespace=given("E2E_NAMESPACE", "mizzen-e2e"),
        nodes=given("E2E_NODES", "kit"),
        kit=given("E2E_KIT", "cluster"),
        kind_name=given("E2E_KIND_NAME", "kind"),
        tag=given("E2E_TAG", "dev"),
        gateway_class=given("E2E_GATEWAY_CLASS", "kit"),
        gateway_port=int(given("E2E_GATEWAY_PORT", "8000")),
        address=given("E2E_ADDRESS", ""),
        shared_directory=given("E2E_SHARED_DIRECTORY", "/var/tmp/mizzen-e2e"),
        shared_class=given("E2E_SHARED_CLASS", ""),
        # false where another release of the cluster owns them
        crds=given("E2E_CRDS", "true") == "true",
        kserve_crds=Path(
            given("E2E_KSERVE_CRDS", str(Path(given("MIZZEN_TEST_DATA", "no-test-data")).parent / "crds"))
        ),
        values=given("E2E_VALUES", ""),
        results=Path(given("E2E_RESULTS", str(ROOT / "build/e2e.json"))),
        rate=int(given("E2E_RATE", "20")),
        calls=int(given("E2E_CALLS", "5000")),
    )
