"""What the life of a model needs, as a library: measures of quality and the reference profile. No server."""
