"""Zero import cycles, modules included, in every room."""

import grimp
import pytest

ROOMS = (
    "chassis",
    "catalog",
    "cli",
    "control",
    "gateway",
    "features",
    "inference",
    "retrieval",
    "monitoring",
    "training",
)


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_has_no_import_cycle(name: str) -> None:
    graph = grimp.build_graph(name)
    for module in sorted(graph.modules):
        for imported in graph.find_modules_directly_imported_by(module):
            back = graph.find_shortest_chain(importer=imported, imported=module)
            assert back is None, f"{module} → {' → '.join(back or ())}"
