"""What JSON bodies of 14 MB cost to read, by what is in them: `python -m bench.json_bodies`.

For each: milliseconds of orjson, the longest that another thread stood still meanwhile, and what memory grew by. Each body has a
process of its own, so that none finds the memory of another.
"""

import json
import subprocess
import sys
import threading
import time

import orjson

from chassis.memory import resident_bytes

SIZE = 14 * 1024 * 1024
KINDS = {
    "one text": lambda: b'{"a":"' + b"x" * SIZE + b'"}',
    "numbers of 17 digits": lambda: _filled(b"0.12345678901234567"),
    "short texts": lambda: _filled(b'"abcdef"'),
    "numbers of one digit": lambda: _filled(b"1"),
    "small objects": lambda: _filled(b'{"a":1}'),
}


def _filled(item: bytes) -> bytes:
    return b'{"a":[' + b",".join([item] * (SIZE // (len(item) + 1))) + b"]}"


def measured(kind: str) -> dict[str, float]:
    """One body, read once."""
    body = KINDS[kind]()
    still_ms, reading = [0.0], True

    def tick() -> None:
        last = time.perf_counter()
        while reading:
            time.sleep(0)
            now = time.perf_counter()
            still_ms[0], last = max(still_ms[0], (now - last) * 1e3), now

    beside = threading.Thread(target=tick)
    beside.start()
    before, began = resident_bytes(), time.perf_counter()
    value = orjson.loads(body)
    took_ms = (time.perf_counter() - began) * 1e3
    grown_mb = (resident_bytes() - before) / 1e6
    reading = False
    beside.join()
    del value
    return {"read_ms": took_ms, "another_thread_stood_still_ms": still_ms[0], "memory_mb": grown_mb}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measured(sys.argv[1])))
    else:
        for name in KINDS:
            command = [sys.executable, "-m", "bench.json_bodies", name]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(f"{name:22}", *(f"{key} {value:6.0f}" for key, value in found.items()))
