"""Kinds as resources of the Kubernetes API."""

from catalog.kinds.table import Kind
from chassis.kubernetes.api import Resource


def resource_of(kind: Kind) -> Resource:
    """The kind as the API's paths name it."""
    group, _, version = kind.api_version.partition("/")
    return Resource(group, version, kind.plural)
