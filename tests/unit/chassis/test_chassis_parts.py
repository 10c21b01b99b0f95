"""Addresses, settings, metric names, logs, spans: the small parts."""

import asyncio
import importlib
import json
import logging
import warnings
import weakref
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest
import structlog
from grpc import aio
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.errors import FailedPrecondition
from chassis.public.gathering import Gathering
from chassis.rpc.addresses import parse_addresses
from chassis.rpc.handlers import Surroundings, wrap
from chassis.settings import Definitions, OnlineStore, Postgres, ServiceSettings, Stream, without_password
from chassis.telemetry import logs, tracing
from chassis.telemetry.metrics import CounterSpec, GaugeSpec, HistogramSpec, Metrics, TenantLabels
from chassis.telemetry.otlp import OtlpTracing


class Settings(ServiceSettings, OnlineStore, Stream, Definitions, Postgres):
    model_config = SettingsConfigDict(env_prefix="MIZZEN_ECHO_")
    room: ClassVar[str] = "echo"
    port: int = Field(8101, description="gRPC port.")
    own_s: float = Field(1.0, description="A room's own setting, seconds.")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    for name, value in {
        "MIZZEN_STATE": str(tmp_path),
        "MIZZEN_ECHO_PORT": "99",
        "MIZZEN_ECHO_OWN_S": "2.5",
        "MIZZEN_PORT": "1",
        "MIZZEN_HOST": "0.0.0.0",
        "MIZZEN_ONLINE_URL": "redis://other:1/0",
        "MIZZEN_POSTGRES_PASSWORD_FILE": str(password),
        "MIZZEN_UNKNOWN": "ignored",
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.port, settings.own_s, settings.host) == (99, 2.5, "0.0.0.0")
    assert (settings.online_url, settings.stream_url) == ("redis://other:1/0", "redis://127.0.0.1:6391/0")
    assert settings.definitions == tmp_path / "definitions"
    assert settings.identity_public_key_file == tmp_path / "keys/identity.pub"
    assert settings.postgres_password() == "secret"
    assert Settings(state=tmp_path / "b", server="grpcio").service_secret_file == tmp_path / "b/keys/service.secret"


def test_a_bad_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIZZEN_SERVER", "carrier-pigeon")
    with pytest.raises(ValueError, match="MIZZEN_SERVER"):
        Settings()


def test_every_setting_says_what_it_does() -> None:
    assert not [name for name, info in Settings.model_fields.items() if not info.description]


def test_passwords_stay_out_of_logs() -> None:
    assert without_password("redis://u:secret@h:1/0") == "redis://u:***@h:1/0"
    assert without_password("redis://h:1/0") == "redis://h:1/0"
    assert without_password("redis://:secret@h:1/0") == "redis://:***@h:1/0"


def test_addresses_are_read() -> None:
    assert parse_addresses("static:a:1,b:2, a:1").current() == ("a:1", "b:2")
    assert parse_addresses("static:{name}-predictor:9000", "minilm").current() == ("minilm-predictor:9000",)
    assert parse_addresses("static:[::1]:80").current() == ("[::1]:80",)


@pytest.mark.parametrize(
    "setting",
    ["", "a:1", "static:", "static:a", "static::1", "static:a:0", "static:a:x", "static:a:99999", "static:a:1,b"],
)
def test_addresses_that_are_none_are_refused(setting: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        parse_addresses(setting)
    assert caught.value.reason == "ADDRESSES_INVALID"


@pytest.mark.parametrize("room", ["chassis", "gateway", "features", "retrieval", "monitoring", "control"])
def test_metric_names_follow_the_house(room: str) -> None:
    declared = vars(importlib.import_module(f"{room}.metrics")).values()
    specs = [spec for spec in declared if isinstance(spec, CounterSpec | GaugeSpec | HistogramSpec)]
    assert len({spec.name for spec in specs}) == len(specs) >= 4
    metrics = Metrics()
    for spec in specs:
        assert spec.name.startswith(f"mizzen_{room}_"), spec.name
        assert spec.name.endswith("_total") == isinstance(spec, CounterSpec), spec.name
        assert not spec.name.endswith(("_ms", "_us", "_milliseconds")), spec.name
        assert spec.help.endswith("."), spec.name
        made: object
        if isinstance(spec, CounterSpec):
            made = metrics.counter(spec)
            assert metrics.counter(spec) is made
        elif isinstance(spec, GaugeSpec):
            made = metrics.gauge(spec)
        else:
            made = metrics.histogram(spec)
    assert specs[0].name.removesuffix("_total").encode() in generate_latest(metrics.registry)


def test_tenants_off_the_list_are_other() -> None:
    labels = TenantLabels("default, acme")
    assert [labels.label(name) for name in ("default", "acme", "evil", "")] == ["default", "acme", "other", "other"]


def test_logs_are_one_json_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.setup("echo", "info")
        log = logs.logger("echo.part")
        log.info("it happened", user="a\r\nb", n=1)
        log.debug("not shown")
        logging.getLogger("library").warning("said %s", "x\ny")
        try:
            raise ValueError("why")
        except ValueError as error:
            log.error("it failed", exc_info=error)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["it happened", "said x\ny", "it failed"]
    assert {line["service"] for line in lines} == {"echo"}
    assert (lines[0]["logger"], lines[0]["user"], lines[0]["level"]) == ("echo.part", "a\r\nb", "info")
    assert lines[1]["logger"] == "library"
    assert "ValueError: why" in lines[2]["exception"]


def test_tracing_is_off_without_an_endpoint() -> None:
    off = tracing.setup("echo", "")
    assert not off.enabled
    with off.span("x") as span:
        span.set("a", 1)
        assert span.traceparent == ""
    off.flush()


def test_spans_hang_together_by_traceparent() -> None:
    exporter = InMemorySpanExporter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        on = OtlpTracing("echo", "", exporter)
    with (
        on.span("parent", kind="server") as parent,
        on.span("child", parent.traceparent, "client", {"k": "v"}) as child,
    ):
        child.set("n", 2)
    with pytest.raises(ValueError), on.span("failing", "nonsense"):
        raise ValueError
    on.flush()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert spans["child"].parent is not None
    assert spans["child"].parent.span_id == spans["parent"].context.span_id
    assert dict(spans["child"].attributes or {}) == {"k": "v", "n": 2}
    assert spans["failing"].parent is None
    assert not spans["failing"].status.is_ok
    assert spans["parent"].resource.attributes["service.name"] == "mizzen-echo"


class Pipe:
    """A transport that remembers its writes."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


async def test_an_answer_leaves_in_one_write() -> None:
    pipe = Pipe()
    transport = Gathering(pipe)
    transport.write(b"head ")
    transport.write(b"body")
    assert pipe.written == [b"head body"]
    transport.write(b"head of a stream ")
    assert len(pipe.written) == 1
    await asyncio.sleep(0)
    assert pipe.written[1:] == [b"head of a stream "], "it waits for one turn of the loop and no longer"
    transport.write(b"last")
    transport.close()
    assert pipe.written[2:] == [b"last"]
    assert pipe.closed
    assert transport.is_closing()


async def test_nothing_is_written_to_a_client_that_left() -> None:
    pipe = Pipe()
    transport = Gathering(pipe)
    transport.write(b"head")
    pipe.closed = True
    await asyncio.sleep(0)
    assert pipe.written == []


async def test_while_a_client_is_told_of_an_error_nothing_of_its_call_is_kept() -> None:
    class Large:
        pass

    kept: list[weakref.ref[Large]] = []

    class Context:
        async def abort(self, *_told: Any) -> None:
            assert kept[0]() is None
            raise aio.AbortError

        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.FAILED_PRECONDITION

    async def refuses(_request: bytes, _context: Any) -> bytes:
        large = Large()
        kept.append(weakref.ref(large))
        raise FailedPrecondition("no")

    made: Any = wrap(grpc.unary_unary_rpc_method_handler(refuses), "/a/B", Surroundings())
    with pytest.raises(aio.AbortError):
        await made.unary_unary(b"", Context())
