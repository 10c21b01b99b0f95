"""The `mizzen` command and the supervisor behind `mizzen up`."""
