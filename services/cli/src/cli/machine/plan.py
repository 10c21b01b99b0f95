"""From settings and definitions to the children of one machine: three engines and five services."""

import hashlib
import importlib.util
import os
import sys
from pathlib import Path

from cli.keys import Installation
from cli.machine.engines import postgres, triton, valkey
from cli.machine.engines.passwords import password_file
from cli.machine.layout import Layout
from cli.machine.packages import Served
from cli.machine.spec import BEHIND_THE_GATEWAY, IN_THE_BACKGROUND, ChildSpec, Ready
from cli.settings import Settings

HOST = "127.0.0.1"
GATEWAY = "gateway"
CONTROL = "control"
SERVICES = ("features", "retrieval", "monitoring", CONTROL, GATEWAY)
SHARED_CODE = ("chassis", "catalog", "mizzen")
HANDED_ON = ("MIZZEN_", "OTEL_")
KEPT = ("MIZZEN_API_KEY", "MIZZEN_HOST")  # the command's own key, and an address for the gateway alone
KUBERNETES = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
SYSTEM = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", *KUBERNETES)
SERVICE_STOP_S = 25.0
NICENESS = {GATEWAY: 0, "monitoring": IN_THE_BACKGROUND, CONTROL: IN_THE_BACKGROUND}


def engines(settings: Settings, layout: Layout, served: Served, home: postgres.PostgresHome) -> list[ChildSpec]:
    """Valkey, PostgreSQL and, where there is a model to serve, tritonserver."""
    specs = [
        valkey.spec(settings.valkey_port, layout.valkey, password_file=_valkey_password(layout)),
        postgres.spec(home, settings.postgres_port),
    ]
    if served.roots:
        specs.append(
            triton.spec(
                settings.triton_venv,
                served.roots,
                layout.state,
                grpc_port=settings.triton_grpc_port,
                metrics_port=settings.triton_metrics_port,
                fingerprint=served.fingerprint,
                load_s=settings.start_timeout_s / 2,
                allow_code=settings.models_with_code(),
            )
        )
    return specs


def services(settings: Settings, layout: Layout) -> list[ChildSpec]:
    """features, retrieval, monitoring, control and gateway, each `python -m NAME` with environment only."""
    environment = service_environment(settings, layout)
    public = {**environment, "MIZZEN_HOST": settings.host, **_key_files(settings, layout)}
    own = {GATEWAY: public, CONTROL: environment | _admin_key_file(settings, layout)}
    specs = [_service(name, settings, layout, own.get(name, environment)) for name in SERVICES if name != GATEWAY]
    return [*specs, _service(GATEWAY, settings, layout, public, settings.here().strip("[]"))]


def _valkey_password(layout: Layout) -> Path:
    return password_file(layout.keys / valkey.PASSWORD_FILE)


def _key_files(settings: Settings, layout: Layout) -> dict[str, str]:
    installation = Installation(settings, layout)
    if not installation.needed:
        return {}
    own = str(installation.own_file)
    return {"MIZZEN_GATEWAY_API_KEYS_FILE": str(installation.file.absolute()), "MIZZEN_GATEWAY_OWN_KEYS_FILE": own}


def _admin_key_file(settings: Settings, layout: Layout) -> dict[str, str]:
    """Where the gateway asks for keys, the admin API does too, and takes the machine's own."""
    installation = Installation(settings, layout)
    return {"MIZZEN_CONTROL_ADMIN_KEY_FILE": str(installation.own_key_file)} if installation.needed else {}


def service_environment(settings: Settings, layout: Layout) -> dict[str, str]:
    """What every service and job is told; the caller's own MIZZEN_ and OTEL_ variables win over it."""
    known = {name: value for name in SYSTEM if (value := os.environ.get(name))}
    online = f"redis://{HOST}:{settings.valkey_port}/0"
    told = {
        "MIZZEN_STATE": str(layout.state),
        "MIZZEN_HOST": HOST,
        "MIZZEN_DEFINITIONS": str(layout.definitions),
        "MIZZEN_VOLUMES": str(layout.volumes),
        "MIZZEN_IDENTITY_PUBLIC_KEY_FILE": str(layout.keys / "identity.pub"),
        "MIZZEN_SERVICE_SECRET_FILE": str(layout.keys / "service.secret"),
        "MIZZEN_ONLINE_URL": online,
        "MIZZEN_STREAM_URL": online,
        "MIZZEN_POSTGRES_URL": f"postgresql://{postgres.ROLE}@{HOST}:{settings.postgres_port}/{postgres.DATABASE}",
        "MIZZEN_POSTGRES_PASSWORD_FILE": str(layout.keys / postgres.PASSWORD_FILE),
        "MIZZEN_POSTGRES_OWNER": postgres.OWNER,
        "MIZZEN_POSTGRES_OWNER_PASSWORD_FILE": str(layout.keys / postgres.OWNER_PASSWORD_FILE),
        "MIZZEN_FEATURES_ADDRESSES": f"static:{HOST}:{settings.features_port}",
        "MIZZEN_RETRIEVAL_ADDRESSES": f"static:{HOST}:{settings.retrieval_port}",
        "MIZZEN_MONITORING_ADDRESSES": f"static:{HOST}:{settings.monitoring_port}",
        "MIZZEN_CONTROL_ADDRESSES": f"static:{HOST}:{settings.control_port}",
        "MIZZEN_INFERENCE_ADDRESSES": f"static:{HOST}:{settings.triton_grpc_port}",
        "PYTHONUNBUFFERED": "1",
    }
    told |= {f"MIZZEN_{name.upper()}_PORT": str(port) for name, port in settings.ports().items()}
    # A store of the caller's own has its own password, or none.
    for store in {"MIZZEN_ONLINE", "MIZZEN_STREAM"} - {name.removesuffix("_URL") for name in os.environ}:
        told[f"{store}_PASSWORD_FILE"] = str(_valkey_password(layout))
    told |= {name: value for name, value in os.environ.items() if name.startswith(HANDED_ON) and name not in KEPT}
    return {**known, **told, "MIZZEN_STATE": str(layout.state)}


def job_environment(layout: Layout) -> dict[str, str]:
    """For jobs that use neither stores nor services."""
    return {name: value for name in SYSTEM if (value := os.environ.get(name))} | {"MIZZEN_STATE": str(layout.state)}


def _service(name: str, settings: Settings, layout: Layout, environment: dict[str, str], host: str = HOST) -> ChildSpec:
    held = settings.ports()
    return ChildSpec(
        name=name,
        command=(sys.executable, "-m", name),
        env=environment,
        cwd=str(layout.state),
        ready=Ready("http", held[f"{name}_ops"], path="/readyz", host=host),
        stop_timeout_s=SERVICE_STOP_S,
        ports=tuple(port for key, port in held.items() if key.split("_")[0] == name),
        stage=2 if name == GATEWAY else 1,
        niceness=NICENESS.get(name, BEHIND_THE_GATEWAY),
        fingerprint=code_fingerprint(name, *SHARED_CODE),
    )


def code_fingerprint(*packages: str) -> str:
    """Changes when a file of these packages changes, so that an update of the checkout restarts what it touches."""
    digest = hashlib.sha256()
    for package in packages:
        found = importlib.util.find_spec(package)
        for location in (found.submodule_search_locations or []) if found else []:
            for path in sorted(Path(location).rglob("*.py")):
                status = path.stat()
                digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
