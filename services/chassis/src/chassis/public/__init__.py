"""The ports that clients of the installation reach, REST and gRPC, and what bounds their connections (ADR 0017, 0019)."""
