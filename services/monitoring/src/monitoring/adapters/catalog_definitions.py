"""Definitions from the catalog: endpoints' monitoring policies, and where their models' packages lie."""

from pathlib import Path, PurePosixPath

from catalog import Catalog, DefinitionSource, Endpoint
from catalog.kinds.feature_view import duration_s
from monitoring.domain.model import Policy, WatchedEndpoint

_WAIT_S = 30 * 86_400


class CatalogDefinitions:
    """The catalog as it is now; `watch` keeps it so."""

    def __init__(self, source: DefinitionSource, volumes: Path) -> None:
        """`volumes` is what pvc://CLAIM/PATH is resolved in."""
        self._source = source
        self._volumes = volumes
        self._catalog = Catalog()

    async def load(self) -> None:
        """Reads the definitions."""
        self._catalog = await self._source.load()

    async def watch(self) -> None:
        """Takes over each change, until cancelled."""
        await self._source.watch(self._take)

    async def close(self) -> None:
        """Lets go of the source."""
        await self._source.close()

    def _take(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def endpoint(self, name: str) -> WatchedEndpoint | None:
        endpoint = self._catalog.endpoints.get(name)
        if endpoint is None:
            return None
        return WatchedEndpoint(name, _policy(endpoint), tuple(output.name for output in endpoint.spec.model.outputs))

    def outputs(self) -> frozenset[str]:
        return frozenset(o.name for endpoint in self._catalog.endpoints.values() for o in endpoint.spec.model.outputs)

    def label_wait_us(self) -> int:
        asked = [e.spec.monitoring.labels.wait for e in self._catalog.endpoints.values() if e.spec.monitoring.labels]
        return max((duration_s(wait) for wait in asked), default=_WAIT_S) * 1_000_000

    def known(self, name: str) -> bool:
        return name in self._catalog.endpoints or name in self._catalog.collections

    def package(self, endpoint: str) -> Path | None:
        """The package directory of the model behind the endpoint's first route; None when it lies on no volume."""
        definition = self._catalog.endpoints.get(endpoint)
        if definition is None:
            return None
        route = definition.spec.traffic.routes[0]
        service = self._catalog.inference_services.get(route.inference_service)
        if service is None:
            return None
        scheme, _, path = service.storage_uri.partition("://")
        if scheme != "pvc" or ".." in PurePosixPath(path).parts or ".." in PurePosixPath(route.model).parts:
            return None
        return self._volumes / path.strip("/") / route.model.strip("/") / "package"


def _policy(endpoint: Endpoint) -> Policy:
    monitoring = endpoint.spec.monitoring
    return Policy(
        window_us=int(duration_s(monitoring.window) * 1_000_000),
        min_rows=monitoring.min_rows,
        psi_threshold=monitoring.psi_threshold,
        ks_threshold=monitoring.ks_threshold,
        watch=frozenset(monitoring.watch),
        label_output=monitoring.labels.output if monitoring.labels else None,
        label_kind=monitoring.labels.kind if monitoring.labels else "binary",
    )
