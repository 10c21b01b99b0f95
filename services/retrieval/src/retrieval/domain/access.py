"""Which collection a caller may use."""

from chassis.errors import NotFound
from retrieval.domain.model import Collection
from retrieval.domain.ports import Collections


def visible(collection: Collection, tenant: str) -> bool:
    """Whether the tenant may know of this collection."""
    return not collection.tenants or tenant in collection.tenants


def open_collection(collections: Collections, name: str, tenant: str) -> Collection:
    """The definition; NotFound also where it exists for other tenants only."""
    collection = collections.find(name)
    if collection is None or not visible(collection, tenant):
        raise NotFound(f"there is no collection {name!r}", reason="COLLECTION_NOT_FOUND", ids={"collection": name})
    return collection
