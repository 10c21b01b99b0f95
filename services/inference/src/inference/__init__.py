"""Model packages and the Triton runtimes; no server of its own stands in front of Triton."""
