"""The public edge: REST and gRPC, authentication, routing, the path of a predict, records."""
