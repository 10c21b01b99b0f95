"""What the gateway calls, as small servers in this process: features, Triton, retrieval, monitoring."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from chassis import values
from chassis.errors import MizzenError, NotFound, Unavailable, Unimplemented
from chassis.rpc.server import Registration, Server, Surroundings, make_server
from chassis.rpc.status import to_status
from mizzen.features.v1 import features_pb2, features_pb2_grpc
from mizzen.monitoring.v1 import monitoring_pb2, monitoring_pb2_grpc
from mizzen.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from retrieval.domain.ingest import check_new_id

oip: Any = service_pb2  # its messages are made at import
model_config: Any = model_config_pb2
EVENT_US = 1_700_000_000_000_000


class FakeFeatures(features_pb2_grpc.FeaturesServiceServicer):
    """Every number is the length of the first entity key, every text is that key; the key `missing` is NOT_FOUND."""

    def __init__(self) -> None:
        self.messages = 0
        self.items: list[features_pb2.ReadItem] = []
        self.failure: MizzenError | None = None
        self.status = 0
        self.texts = frozenset({"plane:model", "ship:model"})
        self.delay_s = 0.0

    async def Read(self, request: Any, context: Any) -> Any:
        self.messages += 1
        self.items.extend(request.items)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if isinstance(self.failure, Unavailable):
            raise self.failure
        return features_pb2.ReadResponse(results=[self._result(item) for item in request.items])

    async def Write(self, request: Any, context: Any) -> Any:
        raise Unimplemented("this store is only read")

    async def ListFeatureViews(self, request: Any, context: Any) -> Any:
        raise Unimplemented("this store is only read")

    def _result(self, item: Any) -> Any:
        if self.failure is not None:
            return features_pb2.ReadResult(status=to_status(self.failure))
        keys = list(item.entities[sorted(item.entities)[0]].strings.values)
        missing = np.array([key == "missing" for key in keys])
        columns = []
        for ref in item.joined_refs.split(",") if item.joined_refs else item.refs:
            if ref in self.texts:
                column = values.encode(keys, "STRING", missing)
            else:
                column = values.encode(np.array([len(key) for key in keys], "f8"), "FLOAT64", missing)
            statuses = bytes(3 if gone else self.status or 1 for gone in missing)
            columns.append(
                features_pb2.FeatureColumn(
                    ref=ref, values=column, statuses=statuses if set(statuses) != {1} else b"", timestamps_index=1
                )
            )
        stamps = np.where(missing, 0, EVENT_US).astype("<i8").tobytes()
        result = features_pb2.ReadResult(columns=columns, timestamps_us=[stamps], as_of_us=item.as_of_us)
        fixed = all(column.values.WhichOneof("data") == "raw" for column in columns)
        return as_block(result, len(keys)) if item.as_block and item.gaps_in_block and fixed else result


def as_block(result: features_pb2.ReadResult, rows: int) -> features_pb2.ReadResult:
    """The same answer, its columns as a block."""
    columns = result.columns
    has_statuses = any(column.statuses for column in columns)
    has_nulls = any(column.values.nulls for column in columns)
    return features_pb2.ReadResult(
        timestamps_us=result.timestamps_us,
        as_of_us=result.as_of_us,
        block=b"".join(column.values.raw for column in columns),
        dtypes=bytes(column.values.dtype for column in columns),
        timestamps_indices=bytes(column.timestamps_index for column in columns),
        statuses=b"".join(column.statuses or b"\1" * rows for column in columns) if has_statuses else b"",
        nulls=b"".join(column.values.nulls or bytes(rows) for column in columns) if has_nulls else b"",
    )


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Model `late`: numeric FP32 [-1,2], categorical BYTES [-1,1] → probability = sum of what is not NaN / 100.

    Model `echo`: x FP32 → y FP32, the same. A negative x is refused with INVALID_ARGUMENT.
    """

    def __init__(self, schema_hash: str) -> None:
        self.schema_hash = schema_hash
        self.baseline: dict[str, object] = {}
        self.calls: list[Any] = []
        self.down = 0
        self.stuck = False
        self.delay_s = 0.0
        self.gate: asyncio.Event | None = None
        self.cancelled = 0
        # Seconds more, by model.
        self.slow: dict[str, float] = {}
        self.in_flight = 0
        self.most_in_flight = 0
        self.version = "abcdef012345"

    def config(self, name: str) -> Any:
        config = model_config.ModelConfig(name=name, max_batch_size=8, backend="onnxruntime")
        if name.startswith("late"):
            for key, value in {
                "mizzen.schema_hash": self.schema_hash,
                "mizzen.version": self.version,
                "mizzen.baseline": json.dumps(self.baseline),
            }.items():
                config.parameters[key].string_value = value
        return config

    async def _known(self, name: str, context: Any) -> None:
        if name not in ("late", "late-b", "echo"):
            raise NotFound(f"Request for unknown model: '{name}' is not found")

    async def ModelConfig(self, request: Any, context: Any) -> Any:
        await self._known(request.name, context)
        return oip.ModelConfigResponse(config=self.config(request.name))

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        await self._known(request.name, context)
        kind = oip.ModelMetadataResponse.TensorMetadata
        if request.name == "echo":
            inputs, outputs = (
                [kind(name="x", datatype="FP32", shape=[-1, 2])],
                [kind(name="y", datatype="FP32", shape=[-1, 2])],
            )
        else:
            inputs = [
                kind(name="numeric", datatype="FP32", shape=[-1, 2]),
                kind(name="categorical", datatype="BYTES", shape=[-1, 1]),
            ]
            outputs = [kind(name="probability", datatype="FP32", shape=[-1, 1])]
        return oip.ModelMetadataResponse(
            name=request.name, versions=["1"], platform="onnxruntime", inputs=inputs, outputs=outputs
        )

    async def ModelReady(self, request: Any, context: Any) -> Any:
        return oip.ModelReadyResponse(ready=request.name in ("late", "late-b", "echo"))

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return oip.ServerReadyResponse(ready=True)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        self.calls.append(request)
        if self.down:
            self.down -= 1
            raise Unavailable("down", reason="UPSTREAM_UNAVAILABLE")
        if self.stuck:  # in Triton's words, of a stub that was stopped
            await context.abort(grpc.StatusCode.INTERNAL, "Stub process 'late_0' is not healthy.")
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if delay_s := self.delay_s + self.slow.get(request.model_name, 0.0):
                await asyncio.sleep(delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        return await self.answer(request, context)

    async def answer(self, request: Any, context: Any) -> Any:
        await self._known(request.model_name, context)
        rows = request.inputs[0].shape[0]
        matrix = np.frombuffer(request.raw_input_contents[0], "<f4").reshape(rows, -1)
        response = oip.ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
        if request.model_name == "echo":
            if (matrix < 0).any():
                import grpc

                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "x must not be negative")
            response.outputs.add(name="y", datatype="FP32", shape=list(matrix.shape))
            response.raw_output_contents.append(matrix.tobytes())
        else:
            assert rows <= 8
            shift = 0.5 if request.model_name == "late-b" else 0.0
            sums = (np.nansum(matrix, axis=1, keepdims=True) / 100 + shift).astype("<f4")
            response.outputs.add(name="probability", datatype="FP32", shape=[rows, 1])
            response.raw_output_contents.append(sums.tobytes())
        return response

    async def ModelStreamInfer(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        async for request in request_iterator:
            if request.id == "bad":
                yield oip.ModelStreamInferResponse(error_message="that one was bad")
            else:
                yield oip.ModelStreamInferResponse(infer_response=await self.answer(request, context))


class FakeRetrieval(retrieval_pb2_grpc.RetrievalServiceServicer):
    """One collection `handbook` with documents kept in a dict. `unread`: as long as it has not read the definitions.

    The question "wait" is never answered; `waiting` counts those that somebody still waits for.
    """

    def __init__(self) -> None:
        self.unread = False
        self.waiting = 0
        self.documents: dict[tuple[str, str], Any] = {}
        self.upserts = 0
        self.identities: list[str] = []

    def _passage(self) -> Any:
        return retrieval_pb2.Passage(
            document_id="docs/a.md", chunk=2, text="Valkey stores rows.", score=0.9, source="docs/a.md", line_start=3,
            line_end=5,
        )  # fmt: skip

    @staticmethod
    def _not_read() -> Unavailable:
        return Unavailable("the collections are not read yet", reason="COLLECTIONS_NOT_READ", retry_after_s=1.0)

    def _check_read(self) -> None:
        if self.unread:
            raise self._not_read()

    async def ListCollections(self, request: Any, context: Any) -> Any:
        self._check_read()
        self.identities.append(request.envelope.identity)
        info = retrieval_pb2.Collection(name="handbook", documents=1, chunks=4)
        return retrieval_pb2.ListCollectionsResponse(collections=[info])

    async def Search(self, request: Any, context: Any) -> Any:
        results = []
        for item in request.items:
            if self.unread:  # each item is answered on its own
                results.append(retrieval_pb2.SearchResult(status=to_status(self._not_read())))
            elif item.collection == "handbook":
                results.append(retrieval_pb2.SearchResult(passages=[self._passage()], timings_ms={"search": 1.5}))
            else:
                error = NotFound("there is no such collection", reason="COLLECTION_NOT_FOUND")
                results.append(retrieval_pb2.SearchResult(status=to_status(error)))
        return retrieval_pb2.SearchResponse(results=results)

    async def Ask(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._check_read()
        if request.collection != "handbook":
            raise NotFound("there is no such collection", reason="COLLECTION_NOT_FOUND")
        yield retrieval_pb2.AskEvent(passages=retrieval_pb2.Passages(passages=[self._passage()]))
        yield retrieval_pb2.AskEvent(text="Valkey ")
        if request.question == "break":
            raise Unavailable("the generator is gone", reason="GENERATOR_DOWN")
        if request.question == "wait":
            self.waiting += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.waiting -= 1
        yield retrieval_pb2.AskEvent(text="stores rows.")
        citation = retrieval_pb2.Citation(
            passage=0, document_id="docs/a.md", source="docs/a.md", line_start=3, line_end=5
        )
        answer = retrieval_pb2.Answer(
            text="Valkey stores rows.", answerable=True, citations=[citation], generator="extractive"
        )
        yield retrieval_pb2.AskEvent(answer=answer)

    async def UpsertDocuments(self, request: Any, context: Any) -> Any:
        self.upserts += 1
        stored = []
        for index, given in enumerate(request.documents):
            check_new_id(given.id, f"documents[{index}].id")
        for given in request.documents:
            document = retrieval_pb2.Document(
                id=given.id, collection=request.collection, title=given.title, state=retrieval_pb2.DOCUMENT_STATE_READY,
                chunks=1,
            )  # fmt: skip
            document.updated_at.FromMicroseconds(EVENT_US)
            self.documents[request.collection, given.id] = document
            stored.append(document)
        return retrieval_pb2.UpsertDocumentsResponse(documents=stored)

    async def GetDocument(self, request: Any, context: Any) -> Any:
        found = self.documents.get((request.collection, request.id))
        if found is None:
            raise NotFound("there is no such document", reason="DOCUMENT_NOT_FOUND")
        return found

    async def ListDocuments(self, request: Any, context: Any) -> Any:
        return retrieval_pb2.ListDocumentsResponse(documents=list(self.documents.values()), next_page_token="")

    async def DeleteDocument(self, request: Any, context: Any) -> Any:
        found = self.documents.pop((request.collection, request.id), None)
        return retrieval_pb2.DeleteDocumentResponse(deleted=found is not None)


class FakeMonitoring(monitoring_pb2_grpc.MonitoringServiceServicer):
    """Keeps labels; the report is what was asked."""

    def __init__(self) -> None:
        self.labels: list[Any] = []

    async def PutLabels(self, request: Any, context: Any) -> Any:
        self.labels.extend(request.labels)
        return monitoring_pb2.PutLabelsResponse(
            statuses=[to_status(NotFound("no such output", reason="OUTPUT_NOT_FOUND")) if label.output == "no" else None
                      or monitoring_pb2.PutLabelsResponse().statuses.add() for label in request.labels],
            stored=sum(label.output != "no" for label in request.labels),
        )  # fmt: skip

    async def GetReport(self, request: Any, context: Any) -> Any:
        if request.format == monitoring_pb2.REPORT_FORMAT_HTML:
            return monitoring_pb2.GetReportResponse(media_type="text/html; charset=utf-8", body=b"<h1>report</h1>")
        body = json.dumps({"endpoint": request.endpoint, "from_us": request.from_us}).encode()
        return monitoring_pb2.GetReportResponse(media_type="application/json", body=body)


async def served(add: Callable[[Any, Any], Any], servicer: Any, name: str, *, kind: Any = "grpcio") -> Server:
    """A started server of one servicer on a free port."""
    server = make_server(kind, "127.0.0.1:0", [Registration(add, servicer, name)], Surroundings())
    await server.start()
    server.set_serving(True)
    return server
