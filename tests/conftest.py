"""Fixtures that every test folder may use."""

from tests.engines import (  # noqa: F401
    engine_directory,
    minilm_package,
    postgres,
    postgres_module,
    postgres_server,
    triton,
    valkey,
    valkey_cluster,
    valkey_cluster_server,
    valkey_server,
)
from tests.stack import stack  # noqa: F401
