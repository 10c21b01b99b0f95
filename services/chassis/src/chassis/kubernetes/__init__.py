"""The Kubernetes API as services read it: authentication, lists and watches, the pods behind a Service."""
