"""What clients send: every wrong body is the client's fault, and is said to be so."""

import json
import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from chassis.errors import Code, MizzenError
from gateway.api.grpc.columns import column_of
from gateway.api.http.bodies import parsed
from gateway.api.http.request import MAX_NESTED, parse_object
from gateway.api.mizzen.collections import schema as schema_collections
from gateway.api.mizzen.endpoints import schema as endpoints_schema
from gateway.api.mizzen.endpoints.json import columns, predict_request, read_parts
from gateway.api.mizzen.features import schema as features_schema
from gateway.api.mizzen.labels import schema as labels_schema
from gateway.api.oip import schema as oip_schema
from gateway.api.oip.json import Binary, infer_body, infer_request
from gateway.domain.columns import from_list, to_list
from gateway.domain.infer import checked
from gateway.domain.inference import InferAnswer, Tensor
from gateway.domain.model import DType
from gateway.domain.plans import EndpointPlan, Field
from gateway.domain.rows import Rows
from mizzen.chassis.v1 import values_pb2

BODIES = (
    schema_collections.SearchRequest, schema_collections.AskRequest, schema_collections.UpsertRequest, labels_schema.LabelsRequest,
)  # fmt: skip
CLIENT_FAULTS = {Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED, Code.NOT_FOUND}
PLAN = EndpointPlan(
    name="e", description="", entities=(Field("tailnum", DType.STRING), Field("leg", DType.INT64)),
    inputs=(Field("distance", DType.FLOAT64), Field("at", DType.TIMESTAMP), Field("wet", DType.BOOL)), references=(), telling=(),
    join_keys=(), view_inputs=(), tensors=(), outputs=(), routes=(), shadow=None, sticky_key=None, request_clock=True,
    on_stale="mark", default_when_down=False, max_rows=10, max_explain_rows=10, deadline_s=1, max_in_flight=1, schema_hash="",
    defaults={}, dtypes={}, example={},
)  # fmt: skip

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)
names = st.sampled_from(["entities", "inputs", "options", "tailnum", "leg", "distance", "at", "wet", "as_of", "x"])
shaped = st.dictionaries(names, st.dictionaries(names, st.lists(json_values, max_size=3) | json_values) | json_values)
oip_input = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("x") | json_values,
        "shape": st.lists(st.integers(-2, 2**33), max_size=4) | json_values,
        "datatype": st.sampled_from(["FP32", "INT64", "BYTES", "BOOL", "UINT8", "FP16", "BF16", "NO"]) | json_values,
        "data": st.lists(json_values, max_size=4) | json_values,
        "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "a"]), json_values) | json_values,
    },
)
oip_body = st.fixed_dictionaries(
    {},
    optional={
        "inputs": st.lists(oip_input, max_size=3) | json_values,
        "outputs": json_values,
        "parameters": json_values,
        "id": json_values,
    },
)


def refused(parse: Any) -> None:
    """Runs it; whatever it raises has to be the client's fault, with a message."""
    try:
        parse()
    except MizzenError as error:
        assert error.code in CLIENT_FAULTS, error
        assert error.message


def test_a_body_of_more_objects_than_are_read_is_refused_before_it_is_read() -> None:
    most = b'{"a":[' + b"{}," * (MAX_NESTED - 3) + b"{}]}"
    assert len(parse_object(most)["a"]) == MAX_NESTED - 2
    with pytest.raises(MizzenError) as refusal:
        parse_object(most[:-2] + b",{}" + b"no JSON")
    assert (refusal.value.reason, refusal.value.field) == ("TOO_NESTED", "body")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes(body: bytes) -> None:
    refused(lambda: predict_request(parse_object(body), PLAN))
    refused(lambda: infer_request(body, "m", "", None))
    refused(lambda: infer_request(body, "m", "", len(body) // 2))


@settings(max_examples=300, deadline=None)
@given(shaped)
def test_any_predict_body(body: dict[str, Any]) -> None:
    refused(lambda: predict_request(body, PLAN))
    refused(lambda: read_parts(body))


@settings(max_examples=400, deadline=None)
@given(oip_body)
def test_any_infer_body(body: dict[str, Any]) -> None:
    try:
        raw = orjson.dumps(body)
    except TypeError:
        return

    def parse() -> None:
        request, _ = infer_request(raw, "m", "", None)
        for index, tensor in enumerate(request.inputs):
            checked(tensor, index)

    refused(parse)


@settings(max_examples=150, deadline=None)
@given(json_values)
def test_any_document_question_and_label(value: Any) -> None:
    body = json.dumps(value).encode()
    for model in BODIES:
        refused(lambda model=model: parsed(body, model))
    refused(lambda: parsed(json.dumps({"documents": [value]}).encode(), schema_collections.UpsertRequest))
    refused(lambda: parsed(json.dumps({"labels": [value]}).encode(), labels_schema.LabelsRequest))


WRONG: dict[str, tuple[type[BaseModel], object, str, str, str]] = {
    "missing": (schema_collections.SearchRequest, {}, "query", "INVALID_VALUE", "query is missing"),
    "another type": (
        schema_collections.SearchRequest, {"query": 5}, "query", "INVALID_VALUE", "query must be a valid string",
    ),
    "a text for a number": (
        schema_collections.SearchRequest, {"query": "q", "top_k": "5"}, "top_k", "INVALID_VALUE",
        "top_k must be a valid integer",
    ),
    "too little": (
        schema_collections.SearchRequest, {"query": "q", "top_k": 0}, "top_k", "INVALID_VALUE",
        "top_k must be greater than or equal to 1",
    ),
    "a word that is none of them": (
        schema_collections.SearchRequest, {"query": "q", "mode": "best"}, "mode", "INVALID_VALUE",
        "mode must be 'hybrid', 'dense' or 'lexical'",
    ),
    "unknown": (
        schema_collections.AskRequest, {"question": "q", "mode": "dense"}, "mode", "UNKNOWN_FIELD",
        "there is no field mode; allowed here: filters, question, stream, top_k",
    ),
    "unknown below": (
        schema_collections.UpsertRequest, {"documents": [{"id": "a", "text": "t"}, {"id": "b", "text": "t", "url": "u"}]},
        "documents[1].url", "UNKNOWN_FIELD",
        "there is no field documents[1].url; allowed here: id, media_type, metadata, source, text, title",
    ),
    "no strings": (
        schema_collections.UpsertRequest, {"documents": [{"id": "a", "text": "t", "metadata": {"a": 1}}]},
        "documents[0].metadata", "INVALID_VALUE", "documents[0].metadata must be an object of strings",
    ),
    "NUL": (
        labels_schema.LabelsRequest, {"labels": [{"request_id": "a\x00", "output": "o", "value": 1, "event_time": "t"}]},
        "labels[0].request_id", "INVALID_VALUE", "labels[0].request_id must not have NUL characters",
    ),
    "no list": (labels_schema.LabelsRequest, {"labels": {}}, "labels", "INVALID_VALUE", "labels must be a valid list"),
    "no object": (labels_schema.LabelsRequest, {"labels": [1]}, "labels[0]", "INVALID_VALUE", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_by_its_field(case: str) -> None:
    model, body, field, reason, message = WRONG[case]
    with pytest.raises(MizzenError) as caught:
        parsed(orjson.dumps(body), model)
    assert (caught.value.code, caught.value.field, caught.value.reason) == (Code.INVALID_ARGUMENT, field, reason)
    assert caught.value.message == message or not message


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (labels_schema.LabelsRequest, b'{"labels":[' + b"{}," * 200_000 + b"{}]}"),
        (schema_collections.SearchRequest, b"{" + b",".join(b'"a%d":1' % n for n in range(400_000)) + b"}"),
        (
            schema_collections.SearchRequest,
            b'{"query":"q","filters":{' + b",".join(b'"a%d":1' % n for n in range(400_000)) + b"}}",
        ),
    ],
    ids=["items", "unknown fields", "values"],
)
def test_a_body_that_is_wrong_a_million_times_is_refused_at_the_first(model: type[BaseModel], body: bytes) -> None:
    def peak(work: Callable[[], object]) -> int:
        tracemalloc.start()
        work()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    def refuse() -> None:
        with pytest.raises(MizzenError) as caught:
            parsed(body, model)
        assert caught.value.code is Code.INVALID_ARGUMENT

    # A refusal for each of the faults would take hundreds of bytes more.
    assert peak(refuse) < 1.3 * peak(lambda: parse_object(body)) + 2**20


def read_whole(body: dict[str, Any]) -> None:
    """As the path does it, in two steps."""
    _, entities, inputs = read_parts(body)
    columns(entities, PLAN.entities, "entities", Rows(10))
    columns(inputs, PLAN.inputs, "inputs", Rows(10), nullable=True)


instants = st.just("2013-11-03T14:00:00Z")
columns_of = {
    "entities": st.fixed_dictionaries({"tailnum": st.lists(st.just("N1") | json_values, min_size=1, max_size=1),
                                       "leg": st.lists(st.integers(0, 9) | json_values, min_size=1, max_size=1)}),
    "inputs": st.fixed_dictionaries({"distance": st.just([1.5]) | json_values, "at": st.lists(instants, min_size=1, max_size=1),
                                     "wet": st.just([None]) | st.just([True])}),
}  # fmt: skip
options = st.fixed_dictionaries(
    {}, optional={"as_of": instants | json_values, "features": st.booleans() | json_values, "explain": st.booleans()}
)
predicts = st.fixed_dictionaries(columns_of, optional={"options": options | json_values})
reads = st.fixed_dictionaries(columns_of | {"features": st.lists(st.just("plane:seats")) | json_values})


@pytest.mark.parametrize(
    ("model", "parse", "bodies"),
    [
        (endpoints_schema.PredictRequest, lambda body: predict_request(body, PLAN), predicts | shaped),
        (features_schema.ReadFeaturesRequest, read_whole, reads | shaped),
    ],
    ids=["predict", "read"],
)
def test_the_parsers_of_hot_paths_take_no_more_than_the_documented_models(
    model: type[BaseModel], parse: Callable[[Any], object], bodies: st.SearchStrategy[Any]
) -> None:
    taken = 0

    @settings(max_examples=400, deadline=None)
    @given(bodies)
    def compare(body: dict[str, Any]) -> None:
        nonlocal taken
        try:
            parse(body)
        except MizzenError:
            return
        model.model_validate(body)
        taken += 1

    compare()
    assert taken > 10, "bodies that are right were tried too"


@settings(max_examples=300, deadline=None)
@given(oip_body)
def test_infer_takes_no_more_than_the_documented_model(body: dict[str, Any]) -> None:
    try:
        raw = orjson.dumps(body)
        infer_request(raw, "m", "", None)
    except (TypeError, MizzenError):
        return
    oip_schema.InferRequest.model_validate(orjson.loads(raw))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (DType.STRING, ["a", "", "é"]),
        (DType.INT32, [0, -(2**31), 2**31 - 1]),
        (DType.INT64, [-(2**63), 2**63 - 1]),
        (DType.FLOAT32, [0.5, -2.0]),
        (DType.FLOAT64, [1e300, 0.1]),
        (DType.BOOL, [True, False]),
        (DType.TIMESTAMP, ["2013-11-03T14:00:00Z", "2013-11-03T14:00:00.000001Z"]),
    ],
)
def test_lists_come_back(dtype: DType, values: list[Any]) -> None:
    assert to_list(from_list(values, dtype, "f")) == values
    assert to_list(from_list(values[:1], dtype, "f")) == values[:1]
    assert to_list(from_list([None, *values], dtype, "f", nullable=True)) == [None, *values]


def test_no_nan_or_infinity_leaves_as_json() -> None:
    column = from_list([1.0, 2.0], DType.FLOAT32, "f")
    column.raw = np.array([math.nan, -math.inf], "<f4").tobytes()
    assert to_list(column) == [None, None]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (DType.INT32, 2**31), (DType.INT64, 2**63), (DType.INT64, 1.0), (DType.INT64, True), (DType.FLOAT64, True),
        (DType.FLOAT32, 1e39), (DType.FLOAT64, math.nan), (DType.BOOL, 1), (DType.STRING, "a\x00b"),
        (DType.TIMESTAMP, "2013-11-03T14:00:00"), (DType.TIMESTAMP, 5), (DType.STRING, None), (DType.STRING, "x" * 5000),
    ],
)  # fmt: skip
def test_elements_are_named(dtype: DType, value: Any) -> None:
    good: dict[DType, Any] = {DType.STRING: "a", DType.BOOL: True, DType.TIMESTAMP: "2013-11-03T14:00:00Z"}
    with pytest.raises(MizzenError) as caught:
        from_list([good.get(dtype, 1), value], dtype, "entities.tailnum")
    assert caught.value.field == "entities.tailnum[1]"
    assert caught.value.field in caught.value.message


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT8", "UINT64", "BOOL", "BYTES", "FP16"])
def test_infer_json_goes_round(datatype: str) -> None:
    special: dict[str, list[Any]] = {"BOOL": [True, False], "BYTES": ["é", ""]}
    data = special.get(datatype, [1, 2])
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": datatype, "data": [data]}]}
    request, binary = infer_request(orjson.dumps(body), "m", "", None)
    checked(request.inputs[0], 0)
    answer, head = infer_body(InferAnswer("m", "1", request.inputs), binary)
    assert head is None
    assert orjson.loads(answer)["outputs"][0]["data"] == data


def test_bytes_of_another_length_are_refused() -> None:
    with pytest.raises(MizzenError, match="needs 8"):
        checked(Tensor("x", "FP32", (1, 2), b"1234"), 0)
    with pytest.raises(MizzenError):
        checked(Tensor("x", "FP32", (2**31, 2**31), b""), 0)
    for raw in (b"", b"\x01\x00\x00\x00", b"\x01\x00\x00\x00a" * 2, b"\xff\xff\xff\xff", b"\x00"):
        with pytest.raises(MizzenError):
            checked(Tensor("x", "BYTES", (1, 1), raw), 0)
    checked(Tensor("x", "BYTES", (2, 1), b"\x01\x00\x00\x00a" * 2), 0)


def test_binary_by_output() -> None:
    binary = Binary(all_outputs=True, by_name={"y": False})
    assert (binary.wants("x"), binary.wants("y")) == (True, False)


wire_lists = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-(2**31), 2**31 - 1), max_size=4).map(
        lambda items: values_pb2.Values(ints=values_pb2.Int64s(values=items))
    ),
    st.lists(st.floats() | st.floats(width=32), max_size=4).map(
        lambda items: values_pb2.Values(doubles=values_pb2.Doubles(values=items))
    ),
    st.lists(st.booleans(), max_size=4).map(lambda items: values_pb2.Values(bools=values_pb2.Bools(values=items))),
    st.lists(st.text(max_size=3), max_size=4).map(
        lambda items: values_pb2.Values(strings=values_pb2.Strings(values=items))
    ),
    st.binary(max_size=17).map(lambda raw: values_pb2.Values(raw=raw)),
)


@given(wire_lists, st.sampled_from(list(DType)), st.integers(0, 2), st.binary(max_size=4))
@settings(max_examples=400, deadline=None)
def test_a_short_grpc_column_is_read_as_a_long_one(
    message: values_pb2.Values, dtype: DType, width: int, nulls: bytes
) -> None:
    """Short lists of numbers have a way of their own; whatever else comes, and whatever is wrong, it must not be told apart."""
    message.dtype = values_pb2.DType.Value(f"DTYPE_{dtype}")
    message.width, message.nulls = width, nulls

    def read() -> Any:
        try:
            return column_of(message, Field("a", dtype), "inputs.a", nullable=True)
        except MizzenError as error:
            return type(error), error.reason, error.field, error.message

    short = read()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gateway.api.grpc.columns._SHORT", -1)
        assert read() == short
