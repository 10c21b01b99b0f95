"""A wrong setting ends every process with a sentence that names the variable and what it should be: no trace, no start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WHOLE = "Input should be a valid integer, unable to parse string as an integer"
LEVEL = "Input should be 'debug', 'info', 'warning' or 'error'"
WRONG = (
    ("gateway", "MIZZEN_GATEWAY_REST_PORT", "many", WHOLE),
    ("gateway", "MIZZEN_GATEWAY_QUEUE_MS", "-1", "Input should be greater than 0"),
    ("features", "MIZZEN_FEATURES_PORT", "70000", "Input should be less than or equal to 65535"),
    ("retrieval", "MIZZEN_RETRIEVAL_STORE_CONNECTIONS", "0", "Input should be greater than or equal to 1"),
    ("monitoring", "MIZZEN_LOG_LEVEL", "loud", LEVEL),
    ("control", "MIZZEN_CONTROL_ADMIN_PORT", "many", WHOLE),
    ("control.migrate", "MIZZEN_POSTGRES_OWNER", "", "name the role that owns the tables"),
    ("features.materialize", "MIZZEN_FEATURES_OFFLINE_THREADS", "many", WHOLE),
    ("retrieval.migrate", "MIZZEN_LOG_LEVEL", "loud", LEVEL),
    ("monitoring.migrate", "MIZZEN_POSTGRES_OWNER", "", "name the role that owns the tables"),
    ("cli status", "MIZZEN_VALKEY_PORT", "many", WHOLE),
    ("cli up --detach", "MIZZEN_GATEWAY_PORT", "0", "Input should be greater than or equal to 1"),
    (
        "inference.staging /dev/null/copies",
        "MIZZEN_INFERENCE_SERVING",
        "/dev/null/copies",
        "/dev/null/copies can't hold",
    ),
)


@pytest.mark.parametrize(("command", "variable", "value", "mend"), WRONG)
def test_it_is_told_in_a_sentence(command: str, variable: str, value: str, mend: str, tmp_path: Path) -> None:
    environment = {"PATH": os.defpath, "MIZZEN_STATE": str(tmp_path / "state"), variable: value}
    line = [sys.executable, "-m", *command.split()]
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == ""
    (told,) = done.stderr.splitlines()
    assert told.removeprefix("mizzen: ").startswith(f"{variable}: {mend}")
