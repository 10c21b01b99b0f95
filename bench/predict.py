"""Predict (entities → features → Triton → answer) against a KServe transformer that calls Feast, same model, same Triton.

python -m bench.predict [--repeats 5] [--json FILE]

Counted: gateway and features for Mizzen; the transformer and `feast serve` for the peer. Triton and Valkey are the same for both.
"""

import argparse
import json
import tempfile
import urllib.request
from pathlib import Path

import numpy as np
import onnx
import psutil
import yaml

from bench.feast_peer import Feast
from bench.features import END, START, start_valkey, write_table
from bench.mizzen_peer import FEATURES, Mizzen
from bench.processes import LOAD_CORE, SERVER_CORE, Processes, cpu_us_in_turns, free_port, listens, wait_until
from bench.results import Ratio, report
from catalog import read_directory
from cli.machine.engines import triton

ROOT = Path(__file__).parents[1]
DEFINITIONS = [
    {
        "apiVersion": "mizzen.dev/v1alpha1",
        "kind": "Endpoint",
        "metadata": {"name": "bench"},
        "spec": {
            "entities": [{"name": "driver_id", "dtype": "INT64"}],
            "model": {
                "tensors": [{"name": "features", "datatype": "FP32", "features": FEATURES}],
                "outputs": [{"name": "score", "dtype": "FLOAT32", "tensor": "score"}],
            },
            "traffic": {"routes": [{"inferenceService": "bench", "model": "bench"}]},
        },
    },
    {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "bench"},
        "spec": {"predictor": {"model": {"modelFormat": {"name": "triton"}, "storageUri": "pvc://models/bench/1"}}},
    },
]


def write_model(root: Path, schema_hash: str) -> None:
    """An MLP 50 → 128 → 64 → 1 with fixed weights as a Triton repository."""
    generator = np.random.default_rng(0)
    nodes, weights, before = [], [], "features"
    for layer, (inside, outside) in enumerate(((50, 128), (128, 64), (64, 1))):
        values = {f"w{layer}": generator.normal(size=(inside, outside)) / inside**0.5, f"b{layer}": np.zeros(outside)}
        weights += [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()]
        after = "score" if layer == 2 else f"h{layer}"
        nodes.append(onnx.helper.make_node("Gemm", [before, f"w{layer}", f"b{layer}"], [f"g{layer}"]))
        nodes.append(onnx.helper.make_node("Sigmoid" if layer == 2 else "Relu", [f"g{layer}"], [after]))
        before = after
    tensors = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["rows", width])
        for name, width in (("features", 50), ("score", 1))
    ]
    graph = onnx.helper.make_graph(nodes, "bench", tensors[:1], tensors[1:], weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    directory = root / "bench"
    (directory / "1").mkdir(parents=True)
    onnx.save(model, directory / "1" / "model.onnx")
    (directory / "config.pbtxt").write_text(
        'name: "bench"\nbackend: "onnxruntime"\nmax_batch_size: 1024\ndynamic_batching {}\n'
        'input [{ name: "features" data_type: TYPE_FP32 dims: [ 50 ] }]\n'
        'output [{ name: "score" data_type: TYPE_FP32 dims: [ 1 ] }]\n'
        f'parameters {{ key: "mizzen.schema_hash" value {{ string_value: "{schema_hash}" }} }}\n'
    )


def start_triton(processes: Processes, directory: Path, repository: Path) -> tuple[int, int]:
    """(gRPC port, HTTP port) of a Triton beside the load."""
    grpc_port, http_port, metrics_port = free_port(), free_port(), free_port()
    directory.mkdir()
    venv = ROOT / ".venv-triton"
    spec = triton.spec(venv, [repository], directory, grpc_port=grpc_port, metrics_port=metrics_port)
    # KServe's transformer asks over HTTP, which `mizzen up` has off.
    http = "--allow-http=true", "--http-address=127.0.0.1", f"--http-port={http_port}"
    log = directory / "triton.log"
    processes.start([*spec.command, *http], core=LOAD_CORE, log=log, env=spec.env, cwd=Path(spec.cwd or directory))

    def ready() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/v2/health/ready", timeout=1) as answer:
            return bool(answer.status == 200)

    wait_until(ready, log=log)
    return grpc_port, http_port


def start_transformer(
    processes: Processes, directory: Path, feast_port: int, triton_port: int
) -> tuple[psutil.Process, int]:
    """KServe's model server with the transformer."""
    port, log = free_port(), directory / "kserve.log"
    command: list[str | Path] = [
        Path(__file__).parents[1] / ".venv-kserve/bin/python",
        Path(__file__).with_name("kserve_peer.py"),
        *map(str, (port, feast_port, triton_port)),
    ]
    process = processes.start(command, core=SERVER_CORE, log=log)
    wait_until(listens(port), log=log)
    return process, port


def bodies(rows: int) -> tuple[bytes, bytes]:
    """(ours, the transformer's) for `rows` drivers."""
    drivers = list(range(rows))
    ours = json.dumps({"entities": {"driver_id": drivers}}).encode()
    tensor = {"name": "driver_id", "shape": [rows], "datatype": "INT64", "data": drivers}
    return ours, json.dumps({"inputs": [tensor]}).encode()


def asked(port: int, path: str, body: bytes) -> list[float]:
    """The scores of one request."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = json.load(response)
    outputs = answer["outputs"]
    return list(outputs["score"] if isinstance(outputs, dict) else outputs[0]["data"])


OURS, THEIRS = "/v1/endpoints/bench:predict", "/v2/models/bench/infer"


def compare(
    servers: list[psutil.Process], port: int, peers: list[psutil.Process], peer_port: int, repeats: int
) -> list[Ratio]:
    """CPU per predict of both, in turns, after a look that both answer the same."""
    found = []
    for rows, our_requests, peer_requests in ((1, 3000, 600), (100, 600, 60)):
        ours, theirs = bodies(rows)
        if not np.allclose(asked(port, OURS, ours), asked(peer_port, THEIRS, theirs), atol=1e-5):
            raise SystemExit("the two answer different scores")
        plan = {"kind": "http", "port": port, "path": OURS, "body": ours, "connections": 16, "requests": our_requests}
        peer_plan = {**plan, "port": peer_port, "path": THEIRS, "body": theirs, "requests": peer_requests}
        us, them = cpu_us_in_turns([(servers, plan), (peers, peer_plan)], (200, 32), repeats)
        found.append(Ratio(f"predict, {rows} rows × 50 features", "CPU µs", us, them, "KServe + Feast", them / us, 8))
    return found


def main() -> int:
    """0 when every goal is reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mizzen-bench-") as name, Processes() as processes:
        directory = Path(name)
        parquet = directory / "bench.parquet"
        write_table(parquet, 1000)
        our_store, feast_store = (start_valkey(processes, directory / f"valkey-{who}") for who in ("ours", "feast"))
        ours = Mizzen(directory / "mizzen", parquet, our_store)
        (ours.definitions / "endpoint.yaml").write_text(yaml.safe_dump_all(DEFINITIONS))
        catalog = read_directory(ours.definitions)
        if catalog.errors:
            raise SystemExit("; ".join(str(error) for error in catalog.errors))
        repository = directory / "repository"
        write_model(repository, catalog.schema_hash("bench"))
        triton_grpc, triton_http = start_triton(processes, directory / "triton", repository)
        ours.env["MIZZEN_INFERENCE_ADDRESSES"] = f"static:127.0.0.1:{triton_grpc}"
        ours.materialize(END + "Z")
        feast = Feast(directory / "feast", parquet, feast_store)
        feast.apply()
        feast.materialize(START, END)
        servers = ours.serve(processes)
        feast_process, feast_port = feast.serve(processes)
        transformer, port = start_transformer(processes, directory, feast_port, triton_http)
        ratios = compare(servers, ours.ports["gateway"], [transformer, feast_process], port, options.repeats)
    return report(ratios, "make bench-predict", options.json)


if __name__ == "__main__":
    raise SystemExit(main())
