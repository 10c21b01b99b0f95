"""A stub that stands still is replaced before it can go on, and the models beside it notice nothing."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from inference import launcher
from tests.engines import RunningTriton, triton_serving
from tests.unit.inference.onnx_models import doubling

pytestmark = pytest.mark.engines
ANSWERED_S = 15.0


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[RunningTriton]:
    root = doubling(doubling(doubling(tmp_path / "models"), "other"), "misfit")
    config = root / "misfit/config.pbtxt"
    config.write_text(config.read_text().replace('name: "y"', 'name: "z"'))
    with triton_serving([root], tmp_path / "state") as engine:
        yield engine
        engine.kill()  # a polite end waits for what it asked of the stubs that stood still


def stubs(engine: RunningTriton, model: str) -> list[int]:
    assert engine.child is not None
    below = psutil.Process(engine.child.pid).children(recursive=True)
    return [p.pid for p in below if p.status() != "zombie" and f"/{model}/1/" in " ".join(p.cmdline())]


def asked(client: grpcclient.InferenceServerClient, model: str, value: float, timeout_s: float) -> float:
    """What the model makes of one value. Raises InferenceServerException."""
    given = grpcclient.InferInput("x", [1, 2], "FP32")
    given.set_data_from_numpy(np.full((1, 2), value, np.float32))
    answer = client.infer(model, [given], client_timeout=timeout_s).as_numpy("y")
    assert answer is not None
    return float(answer[0, 0])


def until_answered(engine: RunningTriton, client: grpcclient.InferenceServerClient) -> int:
    """Asks `doubling` until it answers, and `other` between; the number of calls that were not answered."""
    give_up = time.monotonic() + ANSWERED_S
    for attempt in range(10_000):
        assert engine.child is not None and engine.child.poll() is None, "the server ended"
        assert asked(client, "other", attempt, 2) == 2 * attempt, "another model was held up"
        with suppress(InferenceServerException):
            assert asked(client, "doubling", attempt, 0.3) == 2 * attempt, "the answer to another question"
            return attempt
        assert time.monotonic() < give_up, "the model answers no more"
    raise AssertionError


def test_its_model_answers_again_while_the_others_go_on(engine: RunningTriton) -> None:
    with grpcclient.InferenceServerClient(engine.grpc_address) as client:
        assert asked(client, "doubling", 3, 5) == 6
        others = stubs(engine, "other")
        first = stubs(engine, "doubling")
        for pid in first:
            os.kill(pid, signal.SIGSTOP)
        assert until_answered(engine, client) > 0, "nobody was stopped"
        for pid in first:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        for value in range(50):
            assert asked(client, "doubling", value, 5) == 2 * value
        assert not set(first) & set(stubs(engine, "doubling"))
        assert stubs(engine, "other") == others


def test_a_model_that_could_not_be_loaded_is_tried_once(engine: RunningTriton, tmp_path: Path) -> None:
    serving = tmp_path / "state/triton/serving"
    give_up = time.monotonic() + 10
    while not (serving / "0-failed/misfit").is_dir():
        assert time.monotonic() < give_up, "each poll tries it again"
        time.sleep(0.05)
    assert sorted(path.name for path in (serving / "0").iterdir()) == ["doubling", "other"]
    with grpcclient.InferenceServerClient(engine.grpc_address) as client:
        assert asked(client, "doubling", 3, 5) == 6


def test_a_model_that_stands_still_again_and_again_ends_the_server(engine: RunningTriton) -> None:
    assert engine.child is not None
    with grpcclient.InferenceServerClient(engine.grpc_address) as client:
        for _ in range(launcher.RENEWALS):
            for pid in stubs(engine, "doubling"):
                os.kill(pid, signal.SIGSTOP)
            until_answered(engine, client)
        for pid in stubs(engine, "doubling"):
            os.kill(pid, signal.SIGSTOP)
        assert engine.child.wait(timeout=10) == launcher.STUB_DIED


def test_a_model_that_cannot_be_loaded_anew_ends_the_server(engine: RunningTriton, tmp_path: Path) -> None:
    assert engine.child is not None
    (tmp_path / "state/triton/serving/0/doubling/1/model.onnx").write_bytes(b"nothing that can be read")
    for pid in stubs(engine, "doubling"):
        os.kill(pid, signal.SIGSTOP)
    assert engine.child.wait(timeout=launcher.WITHOUT_STUB_S + 15) == launcher.STUB_DIED
