"""All definitions at one instant."""

from dataclasses import dataclass, field

from catalog.found import DefinitionError
from catalog.kinds.collection import Collection
from catalog.kinds.endpoint import Endpoint
from catalog.kinds.feature_view import FeatureView
from catalog.kinds.inference_service import InferenceService
from catalog.kinds.table import AnyDefinition, Kind
from catalog.schema import schema_hash
from chassis.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Catalog:
    """All definitions at one instant, by name (feature views by reference name)."""

    feature_views: dict[str, FeatureView] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    collections: dict[str, Collection] = field(default_factory=dict)
    inference_services: dict[str, InferenceService] = field(default_factory=dict)
    errors: tuple[DefinitionError, ...] = ()

    def of(self, kind: Kind) -> dict[str, AnyDefinition]:
        """The definitions of one kind."""
        found: dict[str, AnyDefinition] = getattr(self, kind.field)
        return found

    def check(self, kind: str) -> None:
        """Raises InvalidArgument DEFINITION_INVALID with everything that can't be read or is wrong with a definition of `kind`."""
        wrong = [str(error) for error in self.errors if error.kind == kind or not error.name]
        if wrong:
            raise InvalidArgument("; ".join(wrong), reason="DEFINITION_INVALID", field="definitions")

    def schema_hash(self, endpoint: str) -> str:
        """The endpoint's schema hash; KeyError when it or one of its columns does not exist."""
        return schema_hash(self.endpoints[endpoint], self.feature_views)
