"""What a probe measures."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from bench.edge.platform import Platform


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise, what this run measured, the bound that it has to keep, and whether it did."""

    promise: str
    figure: str
    bound: str
    met: bool


Probe = Callable[[Platform], Coroutine[Any, Any, list[Figure]]]
"""`measure` of a module in this folder: it measures a running platform and leaves it fit for the next probe."""
