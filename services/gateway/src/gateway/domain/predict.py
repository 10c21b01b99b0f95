"""Predict: entities → features → tensors → model → outputs. All rows, or an error."""

import asyncio
from dataclasses import replace
from typing import Protocol

from chassis.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, MizzenError, Unavailable
from gateway.domain.columns import scattered
from gateway.domain.explain import Explainer, weight_of
from gateway.domain.inference import InferRequest, ModelInfo, Tensor, WantedOutput
from gateway.domain.limits import Bulkhead, remaining_s
from gateway.domain.model import Call, Column, FeatureRows, PredictAnswer, PredictRequest, Status
from gateway.domain.plans import EndpointPlan, Route
from gateway.domain.ports import Clock, Features, Inference, Recorder
from gateway.domain.record import Record, RecordKind
from gateway.domain.route import route_rows
from gateway.domain.sources import Sources
from gateway.domain.stale import declared_defaults, judged
from gateway.domain.tensors import output_column


class ShadowDropped(Protocol):
    """Counts a shadow request that found no room."""

    def __call__(self) -> None: ...


class _Part:
    """What one route answered for its rows."""

    __slots__ = ("explanations", "outputs", "version")

    def __init__(self, outputs: dict[str, Column], version: str, explanations: dict[str, list[float]] | None) -> None:
        self.outputs = outputs
        self.version = version
        self.explanations = explanations


class Predictor:
    """Runs predicts of every loaded endpoint."""

    def __init__(
        self,
        features: Features,
        inference: Inference,
        recorder: Recorder,
        clock: Clock,
        max_shadows: int = 64,
        shadow_dropped: ShadowDropped = lambda: None,
    ) -> None:
        """`max_shadows`: shadow requests under way at once; more are dropped and counted."""
        self._features = features
        self._inference = inference
        self._explainer = Explainer(inference, clock)
        self._recorder = recorder
        self._clock = clock
        self._bulkheads: dict[str, Bulkhead] = {}
        self._shadows: set[asyncio.Task[None]] = set()
        self._max_shadows = max_shadows
        self._shadow_dropped = shadow_dropped

    async def predict(self, call: Call, plan: EndpointPlan, request: PredictRequest) -> PredictAnswer:
        """The answer of `plan` (Endpoints.runnable), by which `request` was read. Raises MizzenError; a record either way."""
        as_of_us = self._as_of(plan, call, request)
        if request.explain:
            call.weigh(weight_of(plan, request.rows))
        record = Record(
            call, RecordKind.PREDICT, plan.name, as_of_us, request.rows, entities=request.entities,
            inputs=request.inputs, schema_hash=plan.schema_hash,
        )  # fmt: skip
        try:
            with self._bulkhead(plan):
                return await self._answered(plan, call, request, record)
        except MizzenError as error:
            record.error_code, record.error_reason = error.code.value, error.reason
            raise
        except asyncio.CancelledError:
            record.error_code, record.error_reason = "CANCELLED", "CLIENT_GONE"
            raise
        except Exception:
            record.error_code, record.error_reason = "INTERNAL", "INTERNAL"
            raise
        finally:
            self._recorder.offer(record)

    async def ready(self, call: Call, plan: EndpointPlan) -> bool:
        """True while every route's model answers, looked at for a second at most."""
        if plan.broken:
            return False
        deadline_s = min(call.deadline_s, self._clock.monotonic_s() + 1)
        ready = self._inference.ready
        checks = (ready(route.service, route.model, route.version, deadline_s) for route in plan.routes)
        return all(await asyncio.gather(*checks))

    async def _answered(self, plan: EndpointPlan, call: Call, request: PredictRequest, record: Record) -> PredictAnswer:
        clock = self._clock
        started = clock.monotonic_s()
        rows = await self._read(plan, call, request, record.event_time_us)
        read = clock.monotonic_s()
        sources = _sources(plan, request, rows)
        route_index = route_rows(plan, dict(request.entities), request.rows, call.request_id)
        parts = await self._infer_all(plan, call, request, sources, route_index)
        done = clock.monotonic_s()
        record.features, record.route_index = rows, route_index
        record.routes = [route.service for route in plan.routes]
        record.model_versions = [parts[i][0].version if i in parts else "" for i in range(len(plan.routes))]
        record.outputs = _merged(plan, parts, request.rows)
        record.degraded = (
            rows is not None and plan.default_when_down and rows.has_status(Status.UNAVAILABLE, plan.telling)
        )
        record.timings_ms = {
            "features": round((read - started) * 1e3, 3),
            "infer": round((done - read) * 1e3, 3),
            "total": round((clock.now_us() - call.received_at_us) / 1e3, 3),
        }
        if plan.shadow is not None:
            self._start_shadow(plan, plan.shadow, call, sources, record)
        index = route_index or bytes(request.rows)
        return PredictAnswer(
            call.request_id,
            plan.name,
            record.outputs,
            [record.routes[i] for i in index],
            [record.model_versions[i] for i in index],
            record.timings_ms,
            rows if request.features else None,
            _merged_explanations(parts, request.rows) if request.explain else None,
            record.degraded,
        )

    def _as_of(self, plan: EndpointPlan, call: Call, request: PredictRequest) -> int:
        if request.explain and request.rows > plan.max_explain_rows:
            message = (
                f"with options.explain a request has at most {plan.max_explain_rows} rows, not {request.rows}"
                f" (limits.maxExplainRows of endpoint {plan.name}); explain fewer rows, or leave options.explain out"
            )
            raise InvalidArgument(message, reason="TOO_MANY_ROWS", field="options.explain")
        if request.as_of_us is None:
            return call.received_at_us
        if not plan.request_clock:
            message = f"endpoint {plan.name} keeps the server's time (clock: server); leave options.as_of out"
            raise InvalidArgument(message, reason="AS_OF_REFUSED", field="options.as_of")
        return request.as_of_us

    def _bulkhead(self, plan: EndpointPlan) -> Bulkhead:
        bulkhead = self._bulkheads.get(plan.name)
        if bulkhead is None:
            bulkhead = self._bulkheads[plan.name] = Bulkhead(f"endpoint {plan.name}", plan.max_in_flight)
        bulkhead.size = plan.max_in_flight
        return bulkhead

    async def _read(self, plan: EndpointPlan, call: Call, request: PredictRequest, as_of_us: int) -> FeatureRows | None:
        if not plan.references:
            return None
        left_s = remaining_s(self._clock, call.deadline_s)
        if plan.default_when_down:
            # Defaults still have to reach the model in time when features hang instead of failing.
            call = replace(call, deadline_s=call.deadline_s - left_s / 2)
        entities = {name: request.entities[name] for name in plan.join_keys}
        inputs = {name: request.inputs[name] for name in plan.view_inputs}
        try:
            rows = await self._features.read(
                call, plan.references, entities, inputs, as_of_us=as_of_us, default_when_down=plan.default_when_down
            )
        except (Unavailable, DeadlineExceeded):
            if not plan.default_when_down:
                raise
            rows = declared_defaults(plan, request.rows, as_of_us)
        return judged(plan, rows)

    async def _infer_all(
        self, plan: EndpointPlan, call: Call, request: PredictRequest, sources: Sources, route_index: bytes
    ) -> dict[int, tuple[_Part, list[int] | None]]:
        used = set(route_index) or {0}
        if len(used) == 1:
            index = used.pop()
            part = await self._infer(plan, plan.routes[index], call, sources, request.explain)
            return {index: (part, None)}
        chosen = {index: [row for row, at in enumerate(route_index) if at == index] for index in sorted(used)}
        parts = await asyncio.gather(
            *(
                self._infer(plan, plan.routes[index], call, sources.taken(rows), request.explain)
                for index, rows in chosen.items()
            )
        )
        return {index: (part, rows) for (index, rows), part in zip(chosen.items(), parts, strict=True)}

    async def _infer(self, plan: EndpointPlan, route: Route, call: Call, sources: Sources, explain: bool) -> _Part:
        info = await self._inference.model(route.service, route.model, route.version, call.deadline_s)
        if info.schema_hash and info.schema_hash != plan.schema_hash:
            message = (
                f"model {route.model} was made for schema {info.schema_hash}, endpoint {plan.name} has"
                f" {plan.schema_hash}: train it anew or roll the definitions back"
            )
            raise FailedPrecondition(message, reason="SCHEMA_MISMATCH", ids={"model": route.model})
        tensors = [sources.tensor(tensor) for tensor in plan.tensors]
        outputs = await self._outputs(plan, route, call, info, tensors, sources.rows)
        if not explain:
            return _Part(outputs, info.package_version, None)
        actual = outputs[plan.outputs[0].name]
        explanations = await self._explainer.explained(plan, route, call, info, tensors, actual)
        return _Part(outputs, info.package_version, explanations)

    async def _outputs(
        self, plan: EndpointPlan, route: Route, call: Call, info: ModelInfo, tensors: list[Tensor], rows: int
    ) -> dict[str, Column]:
        wanted = [WantedOutput(name) for name in dict.fromkeys(output.tensor for output in plan.outputs)]
        request = InferRequest(route.model, tensors, route.version, outputs=wanted, service=route.service)
        answer = await self._inference.infer(request, info, call.deadline_s)
        by_name = {tensor.name: tensor for tensor in answer.outputs}
        return {output.name: output_column(output, by_name, rows) for output in plan.outputs}

    def _start_shadow(self, plan: EndpointPlan, route: Route, call: Call, sources: Sources, record: Record) -> None:
        if len(self._shadows) >= self._max_shadows:
            self._shadow_dropped()
            return
        task = asyncio.get_running_loop().create_task(self._shadow(plan, route, call, sources, record))
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    async def _shadow(self, plan: EndpointPlan, route: Route, call: Call, sources: Sources, record: Record) -> None:
        # The answer has gone out already: the copy gets a deadline of its own.
        call = replace(call, deadline_s=self._clock.monotonic_s() + plan.deadline_s)
        copy = replace(record, shadow=True, routes=[route.service], route_index=b"", outputs={}, model_versions=[])
        try:
            part = await self._infer(plan, route, call, sources, explain=False)
            copy.outputs, copy.model_versions = part.outputs, [part.version]
        except MizzenError as error:
            copy.error_code, copy.error_reason = error.code.value, error.reason
        self._recorder.offer(copy)


def _sources(plan: EndpointPlan, request: PredictRequest, rows: FeatureRows | None) -> Sources:
    given = {"entity:" + name: column for name, column in request.entities.items()}
    for name, column in request.inputs.items():
        given["input:" + name] = column
    return Sources(plan.references if rows is not None else (), rows, given, request.rows)


def _merged(plan: EndpointPlan, parts: dict[int, tuple[_Part, list[int] | None]], rows: int) -> dict[str, Column]:
    if len(parts) == 1:
        return next(iter(parts.values()))[0].outputs
    return {
        output.name: scattered([(part.outputs[output.name], index or ()) for part, index in parts.values()], rows)
        for output in plan.outputs
    }


def _merged_explanations(parts: dict[int, tuple[_Part, list[int] | None]], rows: int) -> dict[str, list[float]]:
    merged: dict[str, list[float]] = {}
    for part, index in parts.values():
        for reference, values in (part.explanations or {}).items():
            if index is None:
                merged[reference] = values
                continue
            target = merged.setdefault(reference, [0.0] * rows)
            for row, value in zip(index, values, strict=True):
                target[row] = value
    return merged
