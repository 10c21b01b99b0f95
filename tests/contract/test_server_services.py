"""Health, reflection and Triton's own service, on both servers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.grpc import service_pb2 as triton_pb2
from tritonclient.grpc import service_pb2_grpc

from chassis.errors import InvalidArgument, Unimplemented
from chassis.rpc.channel import Channel
from chassis.rpc.server import Registration
from mizzen.features.v1 import features_pb2, features_pb2_grpc
from tests.contract.servers import KINDS, Kind, Running, running
from tests.fakes.echo import NAME

pytestmark = pytest.mark.parametrize("kind", KINDS)

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
service_pb2: Any = triton_pb2  # its messages are made at import
OIP = "inference.GRPCInferenceService"
FEATURES = "mizzen.features.v1.FeaturesService"
Reflected: Any = features_pb2_grpc.FeaturesServiceServicer  # answers nothing: it is there to be reflected


class Oip(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Infers nothing, in Triton's words."""

    async def ServerLive(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=True)

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            if not request.model_name:
                raise InvalidArgument("a model must be named", field="model_name")
            answer = service_pb2.ModelInferResponse(id=request.id, model_name=request.model_name)
            answer.raw_output_contents.extend(request.raw_input_contents)
            yield service_pb2.ModelStreamInferResponse(infer_response=answer)


REGISTRATIONS = (
    Registration(features_pb2_grpc.add_FeaturesServiceServicer_to_server, Reflected(), FEATURES),
    Registration(service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server, Oip(), OIP),
)


async def check(run: Running, service: str = "") -> Any:
    async with aio.insecure_channel(run.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return (await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)).status


async def test_health_says_what_it_is_told(kind: Kind) -> None:
    async with running(kind) as run:
        assert await check(run) == NOT_SERVING
        run.server.set_serving(True)
        assert await check(run) == await check(run, NAME) == SERVING
        run.server.set_serving(False)
        assert await check(run, NAME) == NOT_SERVING
        with pytest.raises(aio.AioRpcError) as caught:
            await check(run, "nobody")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watched_health_changes_and_ends_with_the_server(kind: Kind) -> None:
    async with running(kind) as run, aio.insecure_channel(run.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=NAME), timeout=30)
        assert (await watch.read()).status == NOT_SERVING
        run.server.set_serving(True)
        assert (await watch.read()).status == SERVING
        stranger = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"), timeout=30)
        assert (await stranger.read()).status == UNKNOWN
        await asyncio.wait_for(run.server.stop(20), 5)
        assert await watch.read() is aio.EOF


async def test_reflection_lists_and_describes(kind: Kind) -> None:
    async with running(kind, more=REGISTRATIONS) as run, aio.insecure_channel(run.address) as channel:
        request = reflection_pb2.ServerReflectionRequest
        questions = [
            request(list_services=""),
            request(file_containing_symbol=FEATURES),
            request(file_containing_symbol=OIP),
            request(file_containing_symbol="no.such.Service"),
        ]
        talk = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(questions), timeout=10)
        answers = [answer async for answer in talk]
        names = {service.name for service in answers[0].list_services_response.service}
        assert {FEATURES, OIP, NAME, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= names
        assert answers[1].file_descriptor_response.file_descriptor_proto
        assert answers[2].file_descriptor_response.file_descriptor_proto
        assert answers[3].error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_tritons_service_streams_both_ways(kind: Kind) -> None:
    async with running(kind, more=REGISTRATIONS) as run:
        live = await run.channel.unary(f"/{OIP}/ServerLive", service_pb2.ServerLiveRequest(), LIVE, 5)
        assert live.live
        with pytest.raises(Unimplemented):
            await run.channel.unary(f"/{OIP}/ServerReady", service_pb2.ServerReadyRequest(), READY, 5)
        answers = [answer.infer_response async for answer in stream(run.channel, "m", "m", "m")]
        assert [(answer.id, list(answer.raw_output_contents)) for answer in answers] == [
            ("0", [b"\x00"]),
            ("1", [b"\x01"]),
            ("2", [b"\x02"]),
        ]
        with pytest.raises(InvalidArgument) as caught:
            _ = [answer async for answer in stream(run.channel, "m", "")]
        assert caught.value.field == "model_name"


LIVE, READY = service_pb2.ServerLiveResponse, service_pb2.ServerReadyResponse


def stream(channel: Channel, *models: str) -> AsyncIterator[Any]:
    async def requests() -> AsyncIterator[Any]:
        for index, model in enumerate(models):
            yield service_pb2.ModelInferRequest(id=str(index), model_name=model, raw_input_contents=[bytes([index])])

    types = (service_pb2.ModelInferRequest, service_pb2.ModelStreamInferResponse)
    return channel.stream_stream(f"/{OIP}/ModelStreamInfer", requests(), types, 10)


async def test_what_a_servicer_leaves_out_is_unimplemented(kind: Kind) -> None:
    async with running(kind, more=REGISTRATIONS) as run:
        request, response = features_pb2.ReadRequest(), features_pb2.ReadResponse
        with pytest.raises(Unimplemented):
            await run.channel.unary(f"/{FEATURES}/Read", request, response, 5)
