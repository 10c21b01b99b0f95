"""Unmodified `backend: "onnxruntime"` packages on the real tritonserver, through our backend."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as grpcclient
from onnx import TensorProto, helper
from tritonclient.grpc import InferInput, InferRequestedOutput, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from inference.config import DATATYPES, ModelConfig, Tensor
from tests.engines import RunningTriton, triton_serving
from tests.unit.inference.onnx_models import doubling, write_model

pytestmark = pytest.mark.engines

ECHOED = {
    "BOOL": (TensorProto.BOOL, np.array([[True, False]])),
    "INT8": (TensorProto.INT8, np.array([[-128, 127]], np.int8)),
    "INT16": (TensorProto.INT16, np.array([[-(2**15), 1]], np.int16)),
    "INT32": (TensorProto.INT32, np.array([[-(2**31), 1]], np.int32)),
    "INT64": (TensorProto.INT64, np.array([[-(2**63), 2**63 - 1]], np.int64)),
    "UINT8": (TensorProto.UINT8, np.array([[0, 255]], np.uint8)),
    "UINT16": (TensorProto.UINT16, np.array([[0, 2**16 - 1]], np.uint16)),
    "UINT32": (TensorProto.UINT32, np.array([[0, 2**32 - 1]], np.uint32)),
    "UINT64": (TensorProto.UINT64, np.array([[0, 2**64 - 1]], np.uint64)),
    "FP16": (TensorProto.FLOAT16, np.array([[0.5, -65504]], np.float16)),
    "FP32": (TensorProto.FLOAT, np.array([[np.nan, 3.4e38]], np.float32)),
    "FP64": (TensorProto.DOUBLE, np.array([[np.inf, 1e300]], np.float64)),
    "BYTES": (TensorProto.STRING, np.array([[b"", "Zürich ✈ 東京".encode()]], dtype=object)),
}


def echo(root: Path) -> Path:
    """Every datatype in and out unchanged, each input optional in nothing."""
    names = sorted(ECHOED)
    graph = helper.make_graph(
        [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in names],
        "echo",
        [helper.make_tensor_value_info(f"in_{name}", ECHOED[name][0], [None, 2]) for name in names],
        [helper.make_tensor_value_info(f"out_{name}", ECHOED[name][0], [None, 2]) for name in names],
    )
    inputs, outputs = (tuple(Tensor(f"{side}_{name}", name, (2,)) for name in names) for side in ("in", "out"))
    return write_model(root, ModelConfig("echo", "onnxruntime", inputs, outputs), graph)


def flight(root: Path) -> Path:
    """The flights model's shape: strings mapped to codes by the graph, unknown = 0; probability = mean(numeric) + sum(codes).

    `picked` is Gather over 10 values at `index`, which ONNX Runtime refuses out of its range.
    """
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["categorical"],
            ["codes"],
            domain="ai.onnx.ml",
            keys_strings=["AA", "UA"],
            values_int64s=[1, 2],
            default_int64=0,
        ),
        helper.make_node("Cast", ["codes"], ["code_values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["code_values", "axis"], ["code_sum"], keepdims=1),
        helper.make_node("ReduceMean", ["numeric"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Add", ["mean", "code_sum"], ["probability"]),
        helper.make_node("Gather", ["table", "index"], ["picked"]),
    ]
    graph = helper.make_graph(
        nodes,
        "flight",
        [
            helper.make_tensor_value_info("numeric", TensorProto.FLOAT, [None, 3]),
            helper.make_tensor_value_info("categorical", TensorProto.STRING, [None, 2]),
            helper.make_tensor_value_info("index", TensorProto.INT64, [None, 1]),
        ],
        [
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1]),
            helper.make_tensor_value_info("picked", TensorProto.FLOAT, [None, 1]),
        ],
        [
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
            helper.make_tensor("table", TensorProto.FLOAT, [10], list(range(10))),
        ],
    )
    config = ModelConfig(
        "flight",
        "onnxruntime",
        (Tensor("numeric", "FP32", (3,)), Tensor("categorical", "BYTES", (2,)), Tensor("index", "INT64", (1,))),
        (Tensor("probability", "FP32", (1,)), Tensor("picked", "FP32", (1,))),
        max_batch_size=64,
        max_queue_delay_us=100_000,
        parameters={"mizzen.baseline": '{"a": "x"}', "intra_op_thread_count": "1"},
    )
    return write_model(root, config, graph)


def misfit(root: Path) -> Path:
    """A configuration that doesn't fit its graph."""
    path = doubling(root, "misfit") / "misfit" / "config.pbtxt"
    path.write_text(path.read_text().replace('name: "y"', 'name: "z"'))
    return root


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    """Four repositories; the model of one can't be loaded."""
    root = tmp_path_factory.mktemp("repositories")
    repositories = [echo(root / "a"), flight(root / "b"), doubling(root / "c"), misfit(root / "d")]
    with triton_serving(repositories, tmp_path_factory.mktemp("triton")) as engine:
        yield engine


@pytest.fixture
async def client(server: RunningTriton) -> AsyncIterator[Any]:
    client = grpcclient.InferenceServerClient(server.grpc_address)
    yield client
    await client.close()


def given(name: str, array: np.ndarray) -> InferInput:
    tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor


def flights(rows: int, value: float, carrier: bytes = b"UA", index: int = 0) -> list[InferInput]:
    return [
        given("numeric", np.full((rows, 3), value, np.float32)),
        given("categorical", np.array([[b"AA", carrier]] * rows, dtype=object)),
        given("index", np.full((rows, 1), index, np.int64)),
    ]


async def test_every_datatype_passes_unchanged(client: Any) -> None:
    assert set(ECHOED) == set(DATATYPES) - {"BF16"}
    inputs = [given(f"in_{name}", array) for name, (_, array) in ECHOED.items()]
    answer = await client.infer("echo", inputs)
    for name, (_, array) in ECHOED.items():
        np.testing.assert_array_equal(answer.as_numpy(f"out_{name}"), array, err_msg=name)


async def test_only_the_outputs_asked_for_come_back(client: Any) -> None:
    answer = await client.infer("flight", flights(2, 1.0), outputs=[InferRequestedOutput("picked")])
    assert [each.name for each in answer.get_response().outputs] == ["picked"]


async def test_strings_are_mapped_by_the_graph_and_unknown_ones_are_zero(client: Any) -> None:
    answer = await client.infer("flight", flights(1, 0.5, "Unbekannt ü".encode()))
    assert answer.as_numpy("probability").tolist() == [[1.5]]


async def _executions(client: Any, model: str) -> tuple[int, int]:
    statistics = (await client.get_inference_statistics(model)).model_stats[0]
    return statistics.inference_count, statistics.execution_count


async def test_concurrent_requests_share_runs_and_get_their_own_rows(client: Any) -> None:
    inferences, executions = await _executions(client, "flight")
    sizes = [1 + index % 3 for index in range(24)]
    answers = await asyncio.gather(*[client.infer("flight", flights(size, i)) for i, size in enumerate(sizes)])
    for index, (size, answer) in enumerate(zip(sizes, answers, strict=True)):
        assert answer.as_numpy("probability").tolist() == [[index + 3.0]] * size
    async with asyncio.timeout(30):  # Triton answers a run's requests first and counts them then
        while (after := await _executions(client, "flight"))[0] - inferences < sum(sizes):
            await asyncio.sleep(0.01)
    assert after[0] - inferences == sum(sizes)
    assert after[1] - executions <= 6, "Triton's dynamic batches run as one"


async def test_a_faulty_request_is_refused_and_its_neighbours_are_answered(client: Any) -> None:
    requests = [flights(1, 1.0, carrier=b"\xff" if i == 3 else b"UA", index=99 if i == 5 else 1) for i in range(8)]
    answers = await asyncio.gather(*[client.infer("flight", each) for each in requests], return_exceptions=True)
    for index, answer in enumerate(answers):
        if index == 3:
            assert isinstance(answer, InferenceServerException)
            assert answer.status() == "StatusCode.INVALID_ARGUMENT"
            assert "input 'categorical' is not UTF-8 at position 1" in str(answer)
        elif index == 5:
            assert isinstance(answer, InferenceServerException)
            assert answer.status() == "StatusCode.INVALID_ARGUMENT"
            assert "indices element out of data bounds" in str(answer)
        else:
            assert not isinstance(answer, BaseException), f"request {index}: {answer}"
            assert answer.as_numpy("picked").tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (flights(1, 1.0)[:2], "expected 3 inputs but got 2"),
        ([given("numeric", np.zeros((1, 4), np.float32)), *flights(1, 1.0)[1:]], "unexpected shape"),
        ([given("numeric", np.zeros((1, 3), np.float64)), *flights(1, 1.0)[1:]], "data-type is 'FP64'"),
        (flights(65, 1.0), "batch-size must be <= 64"),
    ],
)
async def test_malformed_requests_are_refused_in_words(client: Any, inputs: list[InferInput], text: str) -> None:
    with pytest.raises(InferenceServerException, match=text) as caught:
        await client.infer("flight", inputs)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert await client.is_model_ready("flight")


LENGTH = struct.Struct("<I")
TEXT = LENGTH.pack(2) + b"UA"


@pytest.mark.parametrize(
    ("rows", "texts"),
    [
        (1, TEXT + LENGTH.pack(2**25) + b"x"),
        (1, TEXT + b"\xff\xff\xff\xff"),
        (1, TEXT + b"\x01"),
        (1, TEXT * 3),
        (2, TEXT * 2),
        (0, b""),
        (-1, TEXT * 2),
        (1, LENGTH.pack(3) + b"\xed\xa0\x80" + TEXT),
    ],
)
async def test_bytes_torn_on_the_wire_are_refused_and_end_no_stub(
    server: RunningTriton, rows: int, texts: bytes
) -> None:
    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request: Any = service_pb2.ModelInferRequest(model_name="flight")  # type: ignore[attr-defined]
        for name, datatype, size in (("numeric", "FP32", 3), ("categorical", "BYTES", 2), ("index", "INT64", 1)):
            request.inputs.add(name=name, datatype=datatype, shape=[rows, size])
        request.raw_input_contents.extend([bytes(12 * max(rows, 0)), texts, bytes(8 * max(rows, 0))])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ModelInfer(request, timeout=5)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        for tensor in request.inputs:
            tensor.shape[0] = 1
        del request.raw_input_contents[:]
        request.raw_input_contents.extend([bytes(12), TEXT * 2, bytes(8)])
        assert len((await stub.ModelInfer(request, timeout=5)).outputs) == 2


async def test_a_model_that_cannot_load_says_why_and_leaves_the_others_serving(client: Any) -> None:
    assert await client.is_server_ready()
    assert not await client.is_model_ready("misfit")
    index = {each.name: each for each in (await client.get_model_repository_index()).models}
    assert "the graph has no output 'z'; it has y" in index["misfit"].reason
    assert index["flight"].state == "READY"


async def test_the_platforms_parameters_are_read_over_grpc(client: Any) -> None:
    config = (await client.get_model_config("flight")).config
    assert config.parameters["mizzen.baseline"].string_value == '{"a": "x"}'


async def test_nothing_can_be_loaded_over_the_network(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="explicit model load / unload is not allowed"):
        await client.load_model("flight")
