"""Ways into control: gRPC for services, and the admin API for people and tools."""
