"""Where a change of definitions goes at run time: a port, and its adapters for a directory and for the Kubernetes API."""
