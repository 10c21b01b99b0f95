"""The control plane, which is asked for API keys in the background and never while answering."""
