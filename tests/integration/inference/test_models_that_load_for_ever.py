"""A model that never gets ready keeps none of the others from being served."""

from pathlib import Path

import pytest
import tritonclient.grpc as grpcclient

from cli import models
from cli.machine.engines.triton import serving
from inference import launcher
from tests.engines import triton_serving
from tests.unit.inference.onnx_models import doubling, endless

pytestmark = pytest.mark.engines


def test_the_others_are_served_and_it_is_named(tmp_path: Path) -> None:
    beside = doubling(endless(tmp_path / "beside"), "third")
    with triton_serving([doubling(tmp_path / "a"), beside], tmp_path / "state", load_s=8) as engine:
        with grpcclient.InferenceServerClient(engine.grpc_address) as client:
            ready = [name for name in ("doubling", "third", "endless") if client.is_model_ready(name)]
        assert ready == ["doubling", "third"]
        (line,) = models.not_served(engine.port, serving(tmp_path / "state"))
        assert line.startswith("model endless is not served: it did not load within 8 s")


def test_a_server_of_such_a_model_alone_ends_and_says_so(tmp_path: Path) -> None:
    ended = f"triton ended with {launcher.LOADS_FOR_EVER}:.*model endless is not served: it did not load within 4 s"
    with (
        pytest.raises(RuntimeError, match=f"(?s){ended}"),
        triton_serving([endless(tmp_path / "models")], tmp_path / "state", load_s=4),
    ):
        pass
