"""Our HTTP/2, client and server, for calls between our own services (ADR 0014, 0015, 0018). Never on a public port."""
