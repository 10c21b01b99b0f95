"""Online feature reads and writes, on-demand features, training sets and materialization."""
