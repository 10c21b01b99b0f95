"""What every Mizzen service is bolted on: settings, errors, gRPC, identity, lifecycle, telemetry. Knows no service."""

import os

# Read when grpc is first imported: its core else writes lines of its own to stderr about every connection that ends.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
