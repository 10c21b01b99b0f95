"""The whole platform on a real Kubernetes: `python -m tests.e2e` runs ten numbered steps and writes docs/promises.md."""
