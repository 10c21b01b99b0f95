"""schemathesis on our own OpenAPI: what it says of bodies, answers and errors is so."""

import asyncio
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from tests.fakes.gateway_rig import gateway_rig

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own imports
    import schemathesis
    from schemathesis.core.failures import FailureGroup
    from schemathesis.generation import GenerationMode

EXAMPLES = 40
# Operations without a body or a query have nothing that could be wrong.
LEAST_TRIED = {GenerationMode.POSITIVE: 25, GenerationMode.NEGATIVE: 12}


def tried(url: str, mode: GenerationMode) -> tuple[int, list[str]]:
    """(operations that were tried, what schemathesis found)."""
    schema: Any = schemathesis.openapi.from_url(f"{url}/openapi.json")
    count, found = 0, []
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            case.headers.pop("x-request-timeout-ms", None)  # a deadline of a millisecond ends in 504, as it should
            # Names of endpoints and models are made up, so what is right as such is answered with 400 or 404 all the same.
            case.call_and_validate(excluded_checks=[schemathesis.checks.positive_data_acceptance])

        try:
            check()
        except Unsatisfiable:
            continue
        except (FailureGroup, Exception) as error:
            parts = error.exceptions if isinstance(error, FailureGroup) else [error]
            found += [f"{operation.label}: {part}" for part in parts]
        count += 1
    return count, found


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
async def test_what_openapi_says_is_so(tmp_path: Path, mode: GenerationMode) -> None:
    async with gateway_rig(tmp_path) as rig:
        count, found = await asyncio.to_thread(tried, rig.url, mode)
    assert not found, "\n\n".join(found)
    assert count >= LEAST_TRIED[mode]
