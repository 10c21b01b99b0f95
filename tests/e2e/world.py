"""The cluster as the steps see it: kubectl, helm, images, waiting."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.e2e.settings import ROOT, Settings

CHART = ROOT / "charts/mizzen"
RELEASE = "mizzen"
Object = dict[str, Any]
T = TypeVar("T")


class StepFailed(Exception):  # noqa: N818  # reads as what happened
    """What a step promised is not so; the message says what was seen instead."""


@dataclass
class World:
    """Settings, the values of the last install, and figures of the steps so far."""

    settings: Settings
    figures: dict[str, Any] = field(default_factory=dict)
    _directory: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="mizzen-e2e-")))

    @property
    def namespace(self) -> str:
        return self.settings.namespace

    def command(self, *words: str, stdin: str | None = None, check: bool = True, timeout_s: float = 600) -> str:
        """Standard output; StepFailed with what it said when it fails."""
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False)
        if check and done.returncode:
            raise StepFailed(f"{' '.join(words)[:200]}: {done.stderr.strip()[-1500:] or done.stdout.strip()[-1500:]}")
        return done.stdout

    def refused(self, *words: str, stdin: str | None = None) -> str:
        """What a command that has to fail said; StepFailed when it succeeds."""
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=120, check=False)
        if not done.returncode:
            raise StepFailed(f"{' '.join(words)[:200]} was accepted")
        return done.stderr.strip()

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True, timeout_s: float = 600) -> str:
        return self.command("kubectl", "-n", self.namespace, *words, stdin=stdin, check=check, timeout_s=timeout_s)

    def get(self, *words: str) -> Object:
        return dict(json.loads(self.kubectl("get", *words, "-o", "json")))

    def items(self, *words: str) -> list[Object]:
        return list(self.get(*words)["items"])

    def apply(self, *objects: Mapping[str, Any]) -> str:
        return self.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def pods(self, component: str) -> list[Object]:
        """Running and ready pods of a component that aren't on their way out."""
        found = self.items("pods", "-l", f"app.kubernetes.io/component={component}")
        return [pod for pod in found if is_ready(pod)]

    def values_file(self, name: str, values: Mapping[str, Any]) -> str:
        path = self._directory / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values))
        return str(path)

    def helm(self, *words: str, timeout_s: float = 900) -> str:
        return self.command("helm", "-n", self.namespace, *words, timeout_s=timeout_s)

    def upgrade(self, values: Mapping[str, Any], *words: str) -> None:
        """`helm upgrade --install`, until everything is ready."""
        own = ("-f", self.settings.values) if self.settings.values else ()
        file = self.values_file("values", values)
        self.helm("upgrade", "--install", RELEASE, str(CHART), "-f", file, *own, "--wait", "--timeout", "10m", *words)

    def secret(self, name: str, key: str) -> str:
        import base64

        return base64.b64decode(self.get("secret", name)["data"][key]).decode()

    def prometheus(self, path: str) -> Any:
        """JSON of Prometheus's HTTP API, through the API server's proxy."""
        base = "/api/v1/namespaces/monitoring/services/prometheus-operated:9090/proxy/api/v1/"
        return json.loads(self.command("kubectl", "get", "--raw", base + path))["data"]

    def logs_of_job(self, name: str) -> str:
        return self.kubectl("logs", f"job/{name}", "--tail=-1", check=False)


def is_ready(pod: Object) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def until(what: str, ask: Callable[[], T | None], timeout_s: float, pause_s: float = 1.0) -> T:
    """The first true answer of `ask`; StepFailed with `what` when the time is over. A failed question is asked again."""
    give_up, last = time.monotonic() + timeout_s, ""
    while True:
        try:
            answer = ask()
            if answer:
                return answer
        except (StepFailed, OSError, KeyError, ValueError) as error:
            last = f" ({error})"
        if time.monotonic() > give_up:
            raise StepFailed(f"not within {timeout_s:.0f} s: {what}{last}")
        time.sleep(pause_s)


def put_images(world: World, images: Sequence[str]) -> None:
    """Images of the local Docker on every node, by the way that the settings name."""
    how = world.settings.nodes
    if how == "none":
        return
    if how == "kind":
        world.command("kind", "load", "docker-image", "--name", world.settings.kind_name, *images)
        return
    # One archive for all: layers that images share travel once.
    with tempfile.TemporaryDirectory(prefix="mizzen-images-") as directory:
        archive = str(Path(directory) / "images.tar")
        world.command("docker", "save", "-o", archive, *images)
        world.command(world.settings.kit, "load", archive, timeout_s=900)
