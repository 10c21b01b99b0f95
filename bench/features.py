"""Online features against Feast 0.67: CPU per request over REST and gRPC, latency, memory, materialization.

python -m bench.features [--repeats 5] [--json FILE]
"""

import argparse
import datetime
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import redis

from bench.feast_peer import Feast
from bench.mizzen_peer import Mizzen
from bench.processes import LOAD_CORE, Processes, cpu_us_in_turns, free_port, listens, measure, wait_until
from bench.results import Ratio, median, report
from bench.store import Store
from cli.machine.engines import valkey
from cli.machine.engines.passwords import password_file

ENTITIES = 500_000  # enough that materialization is about rows, not about starting an interpreter
START, END = "2025-12-01T00:00:00", "2026-02-01T00:00:00"
GRPC_OURS = "/mizzen.gateway.v1.FeatureService/ReadFeatures"
GRPC_FEAST = "/GrpcFeatureServer/GetOnlineFeatures"


def write_table(path: Path, entities: int = ENTITIES) -> None:
    """A row an entity × 50 random features, all of one instant."""
    generator = np.random.default_rng(0)
    instant = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    columns: dict[str, Any] = {
        "driver_id": np.arange(entities),
        "event_timestamp": pa.array([instant] * entities, pa.timestamp("us", tz="UTC")),
    }
    columns |= {f"f{number}": generator.normal(size=entities).astype(np.float32) for number in range(50)}
    pq.write_table(pa.table(columns), path)


def start_valkey(processes: Processes, directory: Path) -> Store:
    """A Valkey beside the load, with a password as the laptop's has."""
    port = free_port()
    directory.mkdir()
    store, log = Store(port, password_file(directory / "password")), directory / "valkey.log"
    spec = valkey.spec(port, directory, password_file=store.password_file, append_only=False)
    processes.start(spec.command, core=LOAD_CORE, log=log)
    wait_until(listens(port), log=log)
    return store


def memory(store: Store) -> int:
    """Bytes that the store uses."""
    with redis.Redis(port=store.port, password=store.password) as client:
        return int(client.info("memory")["used_memory"])


def stored(system: Any, store: Store, *arguments: str) -> tuple[float, float]:
    """(rows/s, bytes an entity) of the system's own materialization."""
    before = memory(store)
    seconds = system.materialize(*arguments)
    return ENTITIES / seconds, (memory(store) - before) / ENTITIES


def bare_mget_p50_us(store: Store) -> float:
    """p50 of redis-py fetching one stored row."""
    with redis.Redis(port=store.port, password=store.password) as client:
        key = next(key for key in client.scan_iter(count=1000) if client.type(key) == b"string")
        times = []
        for _ in range(3000):
            began = time.perf_counter()
            client.mget([key])
            times.append(time.perf_counter() - began)
        return median(times) * 1e6


def loads(
    ours: Mizzen, feast_ports: dict[str, int], rows: int, requests: int
) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """(Mizzen's plan, Feast's plan) for REST and gRPC."""
    shape = {"connections": 16, "requests": requests}
    return {
        "REST JSON": (
            {
                "kind": "http",
                "port": ours.ports["gateway"],
                "path": "/v1/features:read",
                "body": ours.http_body(rows),
                **shape,
            },
            {
                "kind": "http",
                "port": feast_ports["http"],
                "path": "/get-online-features",
                "body": Feast.http_body(rows),
                **shape,
            },
        ),
        "gRPC": (
            {
                "kind": "grpc",
                "port": ours.ports["gateway_grpc"],
                "path": GRPC_OURS,
                "body": ours.grpc_body(rows),
                **shape,
            },
            {"kind": "grpc", "port": feast_ports["grpc"], "path": GRPC_FEAST, "body": Feast.grpc_body(rows), **shape},
        ),
    }


def compare(
    ours: Mizzen, our_servers: list[psutil.Process], feast: dict[str, tuple[psutil.Process, int]], repeats: int
) -> list[Ratio]:
    """CPU per request of both, in turns."""
    found = []
    goals = {("REST JSON", 1): 10, ("REST JSON", 100): 50, ("gRPC", 1): 6, ("gRPC", 100): 60}
    ports = {name: port for name, (_, port) in feast.items()}
    for rows, our_requests, feast_requests in ((1, 12000, 1500), (100, 3000, 100)):
        for wire, (our_plan, feast_plan) in loads(ours, ports, rows, our_requests).items():
            feast_server = feast["http" if wire == "REST JSON" else "grpc"][0]
            peer_plan = {**feast_plan, "requests": feast_requests}
            us, them = cpu_us_in_turns([(our_servers, our_plan), ([feast_server], peer_plan)], (200, 32), repeats)
            name = "feast serve" if wire == "REST JSON" else "feast listen"
            found.append(Ratio(f"features {wire} {rows}×50", "CPU µs", us, them, name, them / us, goals[wire, rows]))
    return found


def compare_servers(
    ours: Mizzen,
    processes: Processes,
    our_servers: list[psutil.Process],
    feast: tuple[psutil.Process, int],
    repeats: int,
) -> list[Ratio]:
    """gRPC 1×50 against Feast with each server on the public port and nothing else changed, all in turns of one run."""
    features, gateway = our_servers
    served = {
        "grpcio (default)": (gateway, ours.ports["gateway_grpc"]),
        "native": ours.serve_gateway(processes, "gateway", MIZZEN_GATEWAY_PUBLIC_SERVER="native"),
        "ours (loop)": ours.serve_gateway(processes, "bench.gateway_on_loop"),
    }
    plan = {"kind": "grpc", "path": GRPC_OURS, "body": ours.grpc_body(1), "connections": 16, "requests": 12000}
    sides = [([features, server], {**plan, "port": port}) for server, port in served.values()]
    peer = {**plan, "path": GRPC_FEAST, "body": Feast.grpc_body(1), "requests": 1500, "port": feast[1]}
    *costs, them = cpu_us_in_turns([*sides, ([feast[0]], peer)], (200, 200, 200, 32), repeats)
    return [
        Ratio(f"gRPC 1×50, public port on {name}", "CPU µs", us, them, "feast listen", them / us, 5)
        for name, us in zip(served, costs, strict=True)
    ]


def main() -> int:
    """0 when every goal is reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--servers-only", action="store_true", help="of CPU only what servers of the public gRPC port cost"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mizzen-bench-") as name, Processes() as processes:
        directory = Path(name)
        parquet = directory / "bench.parquet"
        write_table(parquet)
        # A store for each, so that memory is counted apart.
        our_store, feast_store = (start_valkey(processes, directory / f"valkey-{who}") for who in ("ours", "feast"))
        ours = Mizzen(directory / "mizzen", parquet, our_store)
        feast = Feast(directory / "feast", parquet, feast_store)
        feast.apply()
        our_rows, our_bytes = stored(ours, our_store, END + "Z")
        feast_rows, feast_bytes = stored(feast, feast_store, START, END)
        ratios = [
            Ratio("materialization", "rows/s", our_rows, feast_rows, "feast materialize", our_rows / feast_rows, 30),
            Ratio(
                "memory per entity of 50 features",
                "bytes",
                our_bytes,
                feast_bytes,
                "feast",
                feast_bytes / our_bytes,
                2.5,
            ),
        ]
        servers = ours.serve(processes)
        feast_servers = {"http": feast.serve(processes), "grpc": feast.listen(processes)}
        ratios += compare_servers(ours, processes, servers, feast_servers["grpc"], options.repeats)
        if options.servers_only:
            return report(ratios, "make bench-features", options.json)
        ratios += compare(ours, servers, feast_servers, options.repeats)
        alone = {"kind": "http", "port": ours.ports["gateway"], "path": "/v1/features:read", "body": ours.http_body(1)}
        p50 = measure(servers, {**alone, "connections": 1, "requests": 3000})["p50_us"]
        bare = bare_mget_p50_us(our_store)
        ratios.append(
            Ratio("p50 REST 1×50, one connection", "µs", p50, bare, "redis-py MGET", p50 / bare, 2.5, at_most=True)
        )
    return report(ratios, "make bench-features", options.json)


if __name__ == "__main__":
    raise SystemExit(main())
