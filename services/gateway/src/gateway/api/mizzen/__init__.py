"""Our own dialect, a folder a resource: REST, gRPC and the models of its bodies."""
