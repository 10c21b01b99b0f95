"""Typed definitions of the platform and where they are read from.

Four kinds: FeatureView, Endpoint and Collection (`mizzen.dev/v1alpha1`) and KServe's InferenceService. The pydantic models
here are the single source: reference documents and CRDs are generated from them.
"""

from catalog.examine import Examination, Outside, examine, examine_change
from catalog.fields import DType, Field
from catalog.found import DefinitionError, Found
from catalog.kinds.collection import Collection
from catalog.kinds.endpoint import Endpoint
from catalog.kinds.feature_view import FeatureView
from catalog.kinds.inference_service import InferenceService
from catalog.parse import find_in_file, find_in_text, parse_file, parse_object, parse_text
from catalog.schema import schema_hash, split_reference
from catalog.snapshot import Catalog
from catalog.source.directory import DefinitionSource, DirectorySource, find_in_directory, read_directory
from catalog.source.files import STATE_MARK, definition_files, passed_over
from catalog.source.named import source_from
from catalog.source.progress import telling
from catalog.source.taking import take

__all__ = [
    "STATE_MARK",
    "Catalog",
    "Collection",
    "DType",
    "DefinitionError",
    "DefinitionSource",
    "DirectorySource",
    "Endpoint",
    "Examination",
    "FeatureView",
    "Field",
    "Found",
    "InferenceService",
    "Outside",
    "definition_files",
    "examine",
    "examine_change",
    "find_in_directory",
    "find_in_file",
    "find_in_text",
    "parse_file",
    "parse_object",
    "parse_text",
    "passed_over",
    "read_directory",
    "schema_hash",
    "source_from",
    "split_reference",
    "take",
    "telling",
]
