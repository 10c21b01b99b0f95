"""The public gRPC API on both servers, with the same meaning as REST."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.grpc import aio as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from chassis import values
from chassis.rpc.status import from_rpc_error
from mizzen.chassis.v1 import values_pb2
from mizzen.gateway.v1 import gateway_pb2 as pb
from mizzen.gateway.v1 import gateway_pb2_grpc
from tests.fakes.gateway_rig import Rig, gateway_rig

oip: Any = service_pb2


@pytest.fixture(params=["native", "grpcio"])
async def rig(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with gateway_rig(tmp_path, kind=request.param) as made:
        yield made


@pytest.fixture
async def channel(rig: Rig) -> AsyncIterator[aio.Channel]:
    async with aio.insecure_channel(rig.target) as made:
        yield made


def predict_request(*keys: str) -> pb.PredictRequest:
    request = pb.PredictRequest(endpoint="late")
    request.entities["tailnum"].strings.values.extend(keys)
    request.inputs["distance"].doubles.values.extend(10.0 * (row + 1) for row in range(len(keys)))
    return request


async def test_predict_typed_and_raw(rig: Rig, channel: aio.Channel) -> None:
    stub: Any = gateway_pb2_grpc.EndpointServiceStub(channel)
    request = predict_request("N14228", "missing")
    request.options.features = True
    request.options.as_of.FromMicroseconds(1383487200_000_000)
    answer = await stub.Predict(request, timeout=5)
    assert list(answer.outputs["probability"].doubles.values) == pytest.approx([0.16, 0.20])
    assert list(answer.model_versions) == ["abcdef012345"] * 2
    seats = next(feature for feature in answer.features if feature.ref == "plane:seats")
    assert seats.statuses == b"\x01\x03"
    assert seats.values.nulls == b"\x00\x01"
    assert np.frombuffer(seats.event_timestamps_us, "<i8").tolist() == [1_700_000_000_000_000, 0]
    assert rig.features.items[-1].as_of_us == 1383487200_000_000
    request.options.encoding = pb.ENCODING_RAW
    raw = await stub.Predict(request, timeout=5)
    array, nulls = values.decode(raw.outputs["probability"], 2)
    assert nulls is None
    assert array.tolist() == pytest.approx([0.16, 0.20])


async def test_errors_carry_reason_field_and_request_id(channel: aio.Channel) -> None:
    stub: Any = gateway_pb2_grpc.EndpointServiceStub(channel)
    request = predict_request("a", "b")
    request.inputs["distance"].doubles.values.append(1.0)
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.Predict(request, timeout=5)
    error = from_rpc_error(caught.value)
    assert (caught.value.code(), error.reason, error.field) == (
        grpc.StatusCode.INVALID_ARGUMENT, "ROWS_DIFFER", "inputs.distance",
    )  # fmt: skip
    assert error.ids["request_id"]
    wrong = predict_request("a")
    wrong.inputs["distance"].CopyFrom(values_pb2.Values(dtype=values_pb2.DTYPE_STRING))
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.Predict(wrong, timeout=5)
    assert from_rpc_error(caught.value).field == "inputs.distance"
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.Predict(pb.PredictRequest(endpoint="none"), timeout=5)
    assert from_rpc_error(caught.value).reason == "ENDPOINT_NOT_FOUND"


async def test_endpoints_features_labels_and_reports(rig: Rig, channel: aio.Channel) -> None:
    endpoints: Any = gateway_pb2_grpc.EndpointServiceStub(channel)
    listed = await endpoints.ListEndpoints(pb.ListEndpointsRequest(page_size=1), timeout=5)
    assert [item.name for item in listed.items] == ["late"]
    assert listed.next_page_token == "late"
    endpoint = await endpoints.GetEndpoint(pb.GetEndpointRequest(name="late"), timeout=5)
    assert endpoint.ready
    assert endpoint.example["entities"]["tailnum"][0] == "N14228"
    features: Any = gateway_pb2_grpc.FeatureServiceStub(channel)
    request = pb.ReadFeaturesRequest(features=["plane:seats"])
    request.entities["tailnum"].strings.values.append("abc")
    read = await features.ReadFeatures(request, timeout=5)
    assert list(read.features[0].values.doubles.values) == [3.0]
    request.encoding = pb.ENCODING_RAW
    raw = await features.ReadFeatures(request, timeout=5)
    (seats,) = raw.features
    assert values.decode(seats.values, 1)[0].tolist() == [3.0]
    assert raw.timestamps_us[seats.timestamps_index - 1] == read.features[0].event_timestamps_us
    assert (seats.statuses, seats.event_timestamps_us, read.features[0].statuses) == (b"", b"", b"\x01")
    labels: Any = gateway_pb2_grpc.LabelServiceStub(channel)
    label = pb.Label(request_id="r", output="probability", value=1.0, event_time=Timestamp(seconds=5))
    assert (await labels.PutLabels(pb.PutLabelsRequest(labels=[label]), timeout=5)).stored == 1
    assert rig.monitoring.labels[0].event_time_us == 5_000_000
    report = await labels.GetReport(pb.GetReportRequest(endpoint="late"), timeout=5)
    assert report.report["endpoint"] == "late"


async def test_collections_and_a_streamed_ask(channel: aio.Channel) -> None:
    stub: Any = gateway_pb2_grpc.CollectionServiceStub(channel)
    assert (await stub.ListCollections(pb.ListCollectionsRequest(), timeout=5)).items[0].name == "handbook"
    found = await stub.Search(pb.SearchRequest(collection="handbook", query="rows"), timeout=5)
    assert found.passages[0].document_id == "docs/a.md"
    kinds = [
        event.WhichOneof("event")
        async for event in stub.Ask(pb.AskRequest(collection="handbook", question="where?"), timeout=5)
    ]
    assert kinds == ["passages", "text", "text", "answer"]
    request = pb.UpsertDocumentsRequest(collection="handbook")
    request.documents.add(id="d", text="t")
    assert (await stub.UpsertDocuments(request, timeout=5)).items[0].id == "d"
    assert (await stub.GetDocument(pb.GetDocumentRequest(collection="handbook", id="d"), timeout=5)).chunks == 1
    assert len((await stub.ListDocuments(pb.ListDocumentsRequest(collection="handbook"), timeout=5)).items) == 1
    assert (await stub.DeleteDocument(pb.DeleteDocumentRequest(collection="handbook", id="d"), timeout=5)).deleted


async def test_tritons_own_client(rig: Rig) -> None:
    client = triton.InferenceServerClient(rig.target)
    try:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("echo")
        assert not await client.is_model_ready("none")
        assert (await client.get_model_metadata("echo")).inputs[0].name == "x"
        given = triton.InferInput("x", [2, 2], "FP32")
        given.set_data_from_numpy(np.array([[1, 2], [3, 4]], np.float32))
        answer = await client.infer("echo", [given], request_id="me")
        assert answer.as_numpy("y").tolist() == [[1, 2], [3, 4]]
        assert answer.get_response().id == "me"
        given.set_data_from_numpy(np.array([[-1, 2], [3, 4]], np.float32))
        with pytest.raises(InferenceServerException, match="must not be negative"):
            await client.infer("echo", [given])
        with pytest.raises(InferenceServerException, match="UNIMPLEMENTED"):
            await client.get_model_repository_index()
        with pytest.raises(InferenceServerException, match="UNIMPLEMENTED"):
            await client.register_system_shared_memory("r", "/r", 8)
    finally:
        await client.close()


async def test_typed_contents_become_raw(rig: Rig, channel: aio.Channel) -> None:
    stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    request = oip.ModelInferRequest(model_name="echo")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2]).contents.fp32_contents.extend([1, 2])
    answer = await stub.ModelInfer(request, timeout=5)
    assert np.frombuffer(answer.raw_output_contents[0], "<f4").tolist() == [1, 2]
    request.inputs[0].shape[0] = 2
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.ModelInfer(request, timeout=5)
    assert from_rpc_error(caught.value).reason == "INVALID_SHAPE"


async def test_a_stream_passes_through(channel: aio.Channel) -> None:
    stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)

    async def requests() -> AsyncIterator[Any]:
        for name in ("1", "bad", "3"):
            request = oip.ModelInferRequest(model_name="echo", id=name)
            request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
            request.raw_input_contents.append(np.array([1, 2], "<f4").tobytes())
            yield request
            await asyncio.sleep(0.01)

    answers = [answer async for answer in stub.ModelStreamInfer(requests(), timeout=5)]
    assert [(answer.error_message, answer.infer_response.id) for answer in answers] == [
        ("", "1"), ("that one was bad", ""), ("", "3"),
    ]  # fmt: skip


async def test_what_is_wrong_with_one_message_of_a_stream_is_said_and_the_stream_goes_on(channel: aio.Channel) -> None:
    stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)

    def message(name: str, model: str = "echo") -> Any:
        request = oip.ModelInferRequest(model_name=model, id=name)
        request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        request.raw_input_contents.append(np.array([1, 2], "<f4").tobytes())
        return request

    stream = stub.ModelStreamInfer(timeout=10)
    short, strange, empty = message("short"), message("strange"), oip.ModelInferRequest(model_name="echo")
    short.inputs[0].shape[0] = 9
    strange.inputs[0].datatype = "FP33"
    wrong = [message("none", "nobody"), empty, short, strange, message("other", "late")]
    for number, bad in enumerate(wrong):
        await stream.write(bad)
        assert (await stream.read()).error_message
        await stream.write(message(str(number)))
        answer = await stream.read()
        assert (answer.error_message, answer.infer_response.id) == ("", str(number))
    await stream.done_writing()
    assert await stream.read() is aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_health_and_reflection(channel: aio.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    checked = await health.Check(health_pb2.HealthCheckRequest(service="mizzen.gateway.v1.EndpointService"), timeout=5)
    assert checked.status == health_pb2.HealthCheckResponse.SERVING
    reflector: Any = reflection_pb2_grpc.ServerReflectionStub(channel)

    async def ask() -> AsyncIterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    names = [
        service.name
        async for answer in reflector.ServerReflectionInfo(ask(), timeout=5)
        for service in answer.list_services_response.service
    ]
    assert "inference.GRPCInferenceService" in names
    assert "mizzen.gateway.v1.CollectionService" in names


async def test_an_expired_deadline_calls_nobody(rig: Rig, channel: aio.Channel) -> None:
    stub: Any = gateway_pb2_grpc.EndpointServiceStub(channel)
    await stub.Predict(predict_request("a"), timeout=5)
    rig.triton.gate = asyncio.Event()
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.Predict(predict_request("a"), timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(5):
        while not rig.triton.cancelled:
            await asyncio.sleep(0.01)


async def test_every_port_of_the_gateway_listens_on_ipv6(tmp_path: Path) -> None:
    async with gateway_rig(tmp_path, kind="grpcio", settings={"host": "::1"}) as rig:
        async with aio.insecure_channel(f"[::1]:{rig.lifecycle.port}") as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            assert (await health.Check(health_pb2.HealthCheckRequest(), timeout=10)).status
        async with httpx2.AsyncClient() as http:
            for port, path in ((rig.lifecycle.public_port, "/v1/endpoints"), (rig.lifecycle.ops.port, "/healthz")):
                assert (await http.get(f"http://[::1]:{port}{path}")).status_code == 200
