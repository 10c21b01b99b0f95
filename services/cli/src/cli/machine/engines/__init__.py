"""The real engines under a Mizzen on one machine: how each is found, prepared and started."""
