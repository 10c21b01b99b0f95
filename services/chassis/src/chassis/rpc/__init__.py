"""gRPC between services: the server and its three positions, channels, batches, signed identities, errors as status."""
