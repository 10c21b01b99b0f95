"""Commands for work that ends: on a laptop beside `mizzen up`, on a cluster as the Jobs of the image mizzen/jobs.

A cluster tells them by environment where definitions, stores and the gateway are; each may be run again at any time.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from catalog import Catalog, source_from, telling
from cli import definitions, jobs
from cli.commands.platform import FAILED, Project, plainly
from cli.keys import Installation
from cli.machine import plan
from cli.machine.layout import Layout
from cli.public_api import PublicApi, patiently
from cli.screen import Screen
from cli.settings import Settings

GATEWAY_WAIT_S = 300.0


@plainly
def materialize(
    since: Annotated[str, typer.Option(help="First event time, RFC 3339.")] = "",
    until: Annotated[str, typer.Option(help="Event time to stop before, RFC 3339; default now.")] = "",
    views: Annotated[str, typer.Option(help="Comma-separated feature views; default all.")] = "",
    project: Annotated[
        Path | None, typer.Option("-f", "--file", help="Project whose data.py prepares the tables first.")
    ] = None,
) -> None:
    """Compute feature views from the offline tables and write them to the online store."""
    settings, screen = Settings(), Screen()
    layout = _made(settings)
    given = {"--since": since, "--until": until, "--views": views}
    arguments = [part for option, value in given.items() if value for part in (option, value)]
    environment = plan.service_environment(settings, layout)
    if project is not None:
        with screen, screen.step("tables prepared") as step:
            jobs.prepare_tables(project, layout.offline, plan.job_environment(layout), layout.log("tables"), step.say)
    with screen, screen.step("features materialized") as step:
        step.detail = jobs.materialize(
            arguments, environment, layout.state, layout.log("materialize"), _teller(screen, step.say)
        )


@plainly
def ingest(
    collection: Annotated[str, typer.Argument(help="Name of the collection.")],
    directory: Annotated[Path | None, typer.Option("--from", help="Folder that the sources' globs start from.")] = None,
) -> None:
    """Send the files of a collection's sources through the public API."""
    settings, screen = Settings(), Screen()
    found = asyncio.run(_definitions(settings)).collections.get(collection)
    if found is None:
        raise RuntimeError(f"there is no Collection {collection} in {settings.definitions}: apply its definition first")
    api = PublicApi(settings.gateway(), api_key=Installation(settings, _made(settings)).shown_key())
    folder = (directory or definitions.project_directory(Path.cwd())).resolve()
    with (
        screen,
        screen.step(f"documents of {collection}") as step,
        telling(settings.definitions, "Collection", "Ingested") as tell,
    ):
        say = _teller(screen, step.say)

        def told(detail: str) -> None:
            say(detail)
            tell(collection, detail)

        tell(collection, "waiting for the gateway")
        patiently(lambda: api.documents(collection), GATEWAY_WAIT_S)
        step.detail = jobs.ingest(api, found, folder, told)
        tell(collection, step.detail, done=True)
    api.close()


@plainly
def train(
    project: Project = Path("examples/flights"),
    python: Annotated[
        str, typer.Option(help="Interpreter of the environment with torch (make train has one).")
    ] = sys.executable,
    publish: Annotated[
        bool, typer.Option("--publish", help="Put the package on the models volume instead of into the project.")
    ] = False,
) -> None:
    """Run the project's own `train.py`, which writes a new model package to its `model/` folder."""
    script = project / "train.py"
    if not script.is_file():
        raise RuntimeError(f"{project} has no train.py")
    settings = Settings()
    layout = _made(settings)
    jobs.prepare_tables(project, layout.offline, plan.job_environment(layout), layout.log("tables"), print)
    command = [python, str(script), "--root", str(layout.offline)]
    if not publish:
        _run(command)
        return
    served = _endpoints_of(project / "model", settings)
    with tempfile.TemporaryDirectory() as scratch, telling(settings.definitions, "Endpoint", "Trained") as tell:
        package = Path(scratch) / "model"
        for endpoint in served:
            tell(endpoint, "training")
        _run([*command, "--output", str(package)])
        where = _publish(package, layout)
        for endpoint in served:
            tell(endpoint, f"published as {where}", done=True)


@plainly
def publish(project: Project = Path("examples/flights")) -> None:
    """Put the project's committed model package on the models volume, as the immutable path that is printed."""
    _publish(project / "model", _made(Settings()))


def _made(settings: Settings) -> Layout:
    layout = Layout(settings.state.absolute())
    layout.make()
    return layout


async def _definitions(settings: Settings) -> Catalog:
    source = source_from(settings.definitions)
    try:
        return await source.load()
    finally:
        await source.close()


def _teller(screen: Screen, say: jobs.Say) -> jobs.Say:
    """In a log each line of progress is kept; on a terminal they follow one another in one place."""
    if screen.terminal:
        return say

    def told(detail: str) -> None:
        screen.line(f"  {detail}")
        say(detail)

    return told


def _run(command: list[str]) -> None:
    # The project's script imports what lies beside it, which a safe path (images have one) leaves out.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    if subprocess.run(command, env=environment, check=False).returncode:
        raise typer.Exit(FAILED)


def _endpoints_of(package: Path, settings: Settings) -> list[str]:
    """The Endpoints that ask a model of the package's name."""
    models = {config.parent.name for config in package.glob("*/config.pbtxt")}
    endpoints = asyncio.run(_definitions(settings)).endpoints.values()
    return [each.name for each in endpoints if models & {route.inference_service for route in each.spec.traffic.routes}]


def _publish(package: Path, layout: Layout) -> str:
    from inference import packaging

    where = packaging.publish(package, layout.volumes / "models")
    address = f"pvc://{where.relative_to(layout.volumes)}"
    print(address)
    return address
