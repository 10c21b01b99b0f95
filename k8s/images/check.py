"""Starts every image as a cluster would, read-only and without rights, and asks each for a sign of life: `make images-check`.

Nothing is around them: services have to be live and not ready, tritonserver serves the embedder that its image carries.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

HARDENED = (
    "--read-only", "--cap-drop=ALL", "--user=10001:10001", "--security-opt=no-new-privileges", "--network=none", "--tmpfs=/tmp"
)  # fmt: skip
OPS = {"gateway": 8180, "features": 8181, "retrieval": 8182, "monitoring": 8183, "control": 8184}
STATE = "--tmpfs=/var/lib/mizzen:uid=10001,gid=10001,mode=0755"
ASK = "import sys, urllib.request as u; print(u.urlopen(u.Request(sys.argv[1], sys.argv[2].encode() or None)).status)"
EMBED = '{"inputs": [{"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": ["hello"]}]}'
# The gateway cannot start without the key that it signs with.
WITH_KEYS = (
    "import pathlib, runpy, sys; from chassis.rpc.identity import write_keys;"
    "write_keys(pathlib.Path('/var/lib/mizzen/keys')); runpy.run_module(sys.argv[1], run_name='__main__', alter_sys=True)"
)
PATIENCE_S = 90.0


def docker(*arguments: str, check: bool = True) -> str:
    """Docker's output; CalledProcessError holds its words."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if check and done.returncode:
        raise SystemExit(f"docker {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def lives(image: str, options: tuple[str, ...], url: str, body: str = "", *arguments: str) -> str:
    """Starts the image with `arguments` until `url` answers inside it, then stops it; how long both took. SystemExit: its log."""
    started = time.monotonic()
    container = docker("run", "--detach", *HARDENED, *options, image, *arguments)
    try:
        while docker("exec", container, "python3", "-c", ASK, url, body, check=False) != "200":
            state = docker("inspect", container, "--format={{.State.Status}}")
            if state != "running" or time.monotonic() - started > PATIENCE_S:
                logs = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=False)  # noqa: S603, S607
                raise SystemExit(
                    f"{image} is {state} and {url} does not answer:\n{logs.stdout[-3000:]}{logs.stderr[-3000:]}"
                )
            time.sleep(0.2)
        live_s = time.monotonic() - started
        docker("stop", "--time=30", container)
        code = docker("inspect", container, "--format={{.State.ExitCode}}")
        if code != "0":
            raise SystemExit(f"{image} ended with {code}")
        return f"live after {live_s:.1f} s, stopped after {time.monotonic() - started - live_s:.1f} s"
    finally:
        docker("rm", "--force", container)


def prints(image: str, *command: str) -> str:
    """First line of what a command in the image says."""
    return docker("run", "--rm", *HARDENED, STATE, f"--entrypoint={command[0]}", image, *command[1:]).splitlines()[0]


def main(tag: str) -> None:
    """Every image in turn."""
    for name, port in OPS.items():
        alone = (STATE, "--env=MIZZEN_HOST=127.0.0.1", "--entrypoint=python3")
        line = lives(f"mizzen/{name}:{tag}", alone, f"http://127.0.0.1:{port}/healthz", "", "-c", WITH_KEYS, name)
        print(name, line, flush=True)  # noqa: T201
    triton = f"mizzen/triton-cpu:{tag}"
    package = prints(triton, "python3", "-c", "import glob; print(*glob.glob('/opt/mizzen/models/minilm/*'))")
    url, repository = "http://127.0.0.1:8090/v2/models/minilm/infer", f"--model-repository={package}"
    served = lives(triton, ("--shm-size=256m",), url, EMBED, repository)
    print("triton-cpu", Path(package).name, served, flush=True)  # noqa: T201
    for name, command in {
        "jobs": ("python3", "-c", "import torch, features.materialize; print('torch', torch.__version__)"),
        "valkey": ("valkey-server", "--version"),
        "postgresql": ("postgres", "--version"),
    }.items():
        print(name, prints(f"mizzen/{name}:{tag}", *command), flush=True)  # noqa: T201
    for name in (*OPS, "triton-cpu", "jobs", "valkey", "postgresql"):
        components = json.loads(
            docker("run", "--rm", "--entrypoint=cat", f"mizzen/{name}:{tag}", "/opt/mizzen/sbom.json")
        )
        assert components["specVersion"] == "1.6", name  # noqa: S101


if __name__ == "__main__":
    main(sys.argv[1])
