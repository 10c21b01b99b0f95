"""`mizzen up`: from a folder of definitions to a prediction and a cited answer, doing only what is not done yet."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from catalog import Catalog, Endpoint
from chassis.rpc.identity import write_keys
from cli import definitions, jobs, models
from cli.keys import Installation
from cli.machine import packages, plan
from cli.machine.done import Done, tables_digest
from cli.machine.engines import postgres, triton
from cli.machine.layout import Layout
from cli.machine.outside import known_outside
from cli.machine.spec import ChildSpec
from cli.machine.supervision import control
from cli.machine.supervision.status import SupervisorStatus
from cli.public_api import PublicApi, patiently
from cli.screen import Screen, Step
from cli.settings import Settings

SETTLE_S = 30.0
STORE_S = 60.0
TENANT = "default"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that is known before the first process starts."""

    catalog: Catalog
    specs: Sequence[ChildSpec]
    environment: dict[str, str]
    applied: definitions.Applied


def prepare(project: Path, settings: Settings, layout: Layout, screen: Screen) -> Prepared:
    """Definitions, keys, model packages and PostgreSQL's files. Raises Refused, RuntimeError or MizzenError."""
    definitions.check_source(project, layout.state)
    layout.make()
    with screen.step("definitions") as step:
        applied = definitions.apply(project, layout.definitions, known_outside(project, layout), exactly=True)
        step.detail = f"{_counted(applied.catalog)} ({applied})"
    write_keys(layout.keys)
    keys = Installation(settings, layout)
    if keys.needed:
        keys.own_key()
    with screen.step("model packages") as step:
        served = packages.publish(
            project, applied.catalog, layout.volumes, settings.triton_venv, settings.models_with_code()
        )
        step.detail = f"{len(served.roots)} to serve"
    for reason in served.left_out:
        screen.line(f"! {reason}", style="yellow")
    for sentence in applied.not_checked:
        screen.line(f"· {sentence}")
    with screen.step("PostgreSQL's files") as step:
        home = postgres.prepare(layout.postgres, layout.keys)
        step.detail = (
            "" if home.directory.is_relative_to(layout.state) else f"in {home.directory}, which its user can reach"
        )
    specs = [*plan.engines(settings, layout, served, home), *plan.services(settings, layout)]
    return Prepared(applied.catalog, specs, plan.service_environment(settings, layout), applied)


def launch(prepared: Prepared, layout: Layout, *, in_front: bool) -> bool:
    """Hand the plan to the supervisor; True when this call started it. Raises StartFailed."""
    return control.start(layout, prepared.specs, in_front=in_front)


def await_ready(prepared: Prepared, settings: Settings, layout: Layout, screen: Screen) -> None:
    """Until every engine and service is ready; names models that tritonserver did not load. Raises StartFailed."""
    with screen.step("engines and services") as step:
        control.wait_all_ready(layout, prepared.specs, settings.start_timeout_s, lambda status: _tell(step, status))
        step.detail = f"{len(prepared.specs)} ready"
    if any(spec.name == "triton" for spec in prepared.specs):
        for reason in models.not_served(settings.triton_grpc_port, triton.serving(layout.state)):
            screen.line(f"! {reason}", style="yellow")


def example_endpoint(catalog: Catalog) -> Endpoint | None:
    """The first endpoint with an example request, by name."""
    return next((each for _, each in sorted(catalog.endpoints.items()) if each.spec.example), None)


def until(catalog: Catalog) -> str | None:
    """The instant that the example is asked at: materializing past it would only hide what was known then."""
    endpoint = example_endpoint(catalog)
    example = endpoint.spec.example if endpoint else None
    return str(example.options["as_of"]) if example and example.options.get("as_of") else None


def fill_features(project: Path, prepared: Prepared, layout: Layout, screen: Screen, done: Done) -> None:
    """Tables, then feature views, as far as they changed. Needs the online store, and waits for it. Raises JobFailed, Refused."""
    if not prepared.catalog.feature_views:
        return
    offline = layout.volumes / "offline"
    if not done.is_done("tables", tables_digest(project, offline)):
        with screen.step("tables") as step:
            jobs.prepare_tables(project, offline, prepared.environment, layout.log("tables"), step.say)
        done.note("tables", tables_digest(project, offline))
        # Only now can stored SQL be bound; what is wrong with it is told at its line, and not by a job that ends.
        definitions.validate(project, layout.definitions, known_outside(project, layout), exactly=True)
    instant = until(prepared.catalog)
    digest = _features_digest(prepared.catalog, tables_digest(project, offline), instant)
    if done.is_done("materialize", digest):
        return
    with screen.step("features materialized") as step:
        control.wait_all_ready(
            layout, [spec for spec in prepared.specs if spec.name == "valkey"], STORE_S, lambda _: None
        )
        arguments = ["--until", instant or datetime.now(UTC).isoformat()]
        step.detail = jobs.materialize(
            arguments, prepared.environment, layout.state, layout.log("materialize"), step.say
        )
    done.note("materialize", digest)


def fill_collections(project: Path, prepared: Prepared, api: PublicApi, screen: Screen, done: Done) -> None:
    """Documents of every collection, as far as they changed. Raises ApiError."""
    directory = definitions.project_directory(project)
    for name, collection in sorted(prepared.catalog.collections.items()):
        digest = jobs.sources_digest(collection, directory)
        if not collection.spec.sources or done.is_done(f"ingest {name}", digest):
            continue
        with screen.step(f"documents of {name}") as step:
            say, of = step.say, collection
            step.detail = patiently(lambda of=of, say=say: jobs.ingest(api, of, directory, say), SETTLE_S)
        done.note(f"ingest {name}", digest)


def _features_digest(catalog: Catalog, tables: str, instant: str | None) -> str:
    digest = hashlib.sha256(f"{tables} {instant}".encode())
    for name, view in sorted(catalog.feature_views.items()):
        digest.update(name.encode() + view.model_dump_json().encode())
    return digest.hexdigest()[:16]


def _tell(step: Step, status: SupervisorStatus) -> None:
    late = [name for name, child in status.children.items() if child.state != "ready"]
    step.say(f"waiting for {', '.join(late)}" if late else "all ready")
    time.sleep(0)


def _counted(catalog: Catalog) -> str:
    counts = {
        "feature views": len(catalog.feature_views),
        "endpoints": len(catalog.endpoints),
        "collections": len(catalog.collections),
        "models": len(catalog.inference_services),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)
