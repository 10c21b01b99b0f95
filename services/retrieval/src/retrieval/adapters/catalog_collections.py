"""The defined collections, kept up to date from the catalog."""

from collections.abc import Sequence
from typing import Any

import catalog
from chassis.errors import Unavailable
from retrieval.domain.model import Collection, EmbeddingModel, Mode

RETRY_AFTER_S = 1.0


class CatalogCollections:
    """Collections as of the last catalog given to `update`; Unavailable until there was one."""

    def __init__(self, log: Any) -> None:
        self._by_name: dict[str, Collection] | None = None
        self._log = log

    def update(self, loaded: catalog.Catalog) -> None:
        """Takes over all definitions at once, and logs those that the catalog refused."""
        self._by_name = {name: _collection(definition) for name, definition in loaded.collections.items()}
        for error in loaded.errors:
            if error.kind == "Collection":
                self._log.error("collection refused", collection=error.name, reason=error.says)

    def find(self, name: str) -> Collection | None:
        return self._known().get(name)

    def names(self) -> Sequence[str]:
        return sorted(self._known())

    def _known(self) -> dict[str, Collection]:
        if self._by_name is None:
            raise Unavailable(
                "the collections are not read yet", reason="COLLECTIONS_NOT_READ", retry_after_s=RETRY_AFTER_S
            )
        return self._by_name


def _collection(definition: catalog.Collection) -> Collection:
    spec = definition.spec
    return Collection(
        name=definition.name,
        description=spec.description,
        max_characters=spec.chunking.max_characters,
        overlap_characters=spec.chunking.overlap_characters,
        embedding=EmbeddingModel(spec.embedding.inference_service, spec.embedding.model, spec.embedding.dimensions),
        mode=Mode(spec.search.mode),
        dense_weight=spec.search.dense_weight,
        candidates=spec.search.candidates,
        tenants=frozenset(spec.tenants),
    )
