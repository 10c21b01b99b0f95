"""Typed definitions of the platform and where they are read from.

Four kinds: FeatureView, Endpoint and Collection (`mizzen.dev/v1alpha1`) and KServe's InferenceService. The pydantic models
here are the single source: reference documents and CRDs are generated from them.
"""

from catalog.collection import Collection
from catalog.endpoint import Endpoint
from catalog.feature_view import FeatureView
from catalog.fields import DType, Field
from catalog.inference_service import InferenceService
from catalog.named_source import source_from
from catalog.parse import DefinitionError, parse_file, parse_object, parse_text
from catalog.progress import telling
from catalog.schema import schema_hash, split_reference
from catalog.source import Catalog, DefinitionSource, DirectorySource, read_directory

__all__ = [
    "Catalog",
    "Collection",
    "DType",
    "DefinitionError",
    "DefinitionSource",
    "DirectorySource",
    "Endpoint",
    "FeatureView",
    "Field",
    "InferenceService",
    "parse_file",
    "parse_object",
    "parse_text",
    "read_directory",
    "schema_hash",
    "source_from",
    "split_reference",
    "telling",
]
