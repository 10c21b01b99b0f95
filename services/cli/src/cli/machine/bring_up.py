"""The order of `mizzen up`: what can go on at the same time does, so that the first prediction comes early."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from cli import answers, jobs
from cli.keys import Installation
from cli.machine import up as steps
from cli.machine.done import Done
from cli.machine.layout import Layout
from cli.public_api import CANNOT_EXPLAIN, ApiError, PublicApi, patiently
from cli.screen import Screen
from cli.settings import Settings


class BringUp:
    """One run. `started_at` is when the command was given (monotonic seconds)."""

    def __init__(self, project: Path, settings: Settings, layout: Layout, screen: Screen, started_at: float) -> None:
        self._project = project
        self._settings = settings
        self._layout = layout
        self._screen = screen
        self._started_at = started_at
        self._lines: list[str] = []

    def run(self, question: str, *, in_front: bool) -> None:
        """From definitions to answers on the screen; raises what `commands.EXPECTED` lists."""
        prepared = steps.prepare(self._project, self._settings, self._layout, self._screen)
        done = Done.of(self._layout)
        address = f"http://{self._settings.here()}:{self._settings.gateway_rest_port}"
        api = PublicApi(address, api_key=Installation(self._settings, self._layout).shown_key())
        steps.launch(prepared, self._layout, in_front=in_front)
        with ThreadPoolExecutor(2) as pool:
            try:
                # Tables and features need no more than the online store, so they don't wait for models to load.
                features = pool.submit(steps.fill_features, self._project, prepared, self._layout, self._screen, done)
                steps.await_ready(prepared, self._settings, self._layout, self._screen)
                documents = pool.submit(steps.fill_collections, self._project, prepared, api, self._screen, done)
                self._answer(prepared, api, question, features, documents)
            except BaseException:
                jobs.end_all()
                with suppress(Exception):
                    api.close()
                raise
        api.close()

    def _answer(
        self,
        prepared: steps.Prepared,
        api: PublicApi,
        question: str,
        features: "Future[None]",
        documents: "Future[None]",
    ) -> None:
        catalog = prepared.catalog
        features.result()
        case = answers.find_case(
            self._project, steps.example_endpoint(catalog), self._layout.volumes / "offline", prepared.environment
        )
        if case is not None and case.endpoint in catalog.endpoints:
            case = self._predict(case, api)
        documents.result()
        collection = next(iter(sorted(catalog.collections)), None)
        question = question or (case.question if case else "")
        if collection is not None and question:
            cited = patiently(lambda: api.ask(collection, question), steps.SETTLE_S)
            self._lines += ["", *answers.answer_lines(question, cited)]
        self._lines += ["", "Try it:", *answers.try_lines(self._settings, case, collection, question, self._login())]
        self._lines += ["", "Look at:", *answers.look_lines(self._settings, case, self._layout.state)]
        for line in self._lines:
            self._screen.line(line)

    def _login(self) -> Path | None:
        """Where the key is that the printed commands show; None where no key is asked for."""
        keys = Installation(self._settings, self._layout)
        return keys.own_key_file if keys.needed else None

    def _predict(self, case: answers.Case, api: PublicApi) -> answers.Case:
        """The case as it can be asked: some models' answers can't be explained."""
        with self._screen.step("first prediction") as step:
            try:
                answer = self._asked(case, api)
            except ApiError as error:
                if error.reason not in CANNOT_EXPLAIN:
                    raise
                case = replace(case, explain=False)
                answer = self._asked(case, api)
            first_s = time.monotonic() - self._started_at
            step.detail = f"{first_s:.1f} s after the command"
        self._lines += ["", *answers.prediction_lines(case, answer)]
        self._lines.append(f"  time to first prediction: {first_s:.1f} s")
        return case

    def _asked(self, case: answers.Case, api: PublicApi) -> dict[str, Any]:
        body = case.body(features=True)
        answer: dict[str, Any] = patiently(lambda: api.predict(case.endpoint, body), steps.SETTLE_S)
        return answer
