"""What Jobs say of the definitions they work on: on the fake API and, with MIZZEN_TEST_KUBECONFIG, on a real one."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog import telling
from catalog.source.kubernetes import KubernetesSource
from chassis.errors import Unavailable
from tests.fakes.clusters import Cluster, FakeCluster, a_cluster, client_of, until

FLIGHTS = Path(__file__).parents[2] / "examples" / "flights"
NAME = "carrier-history"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(tmp_path) as found:
        views = [item for path in FLIGHTS.glob("*.yaml") for item in yaml.safe_load_all(path.read_text()) if item]
        for item in views:
            if item["kind"] == "FeatureView":
                await found.apply(item)
        yield found


async def conditions(cluster: Cluster, name: str = NAME) -> dict[str, dict[str, Any]]:
    found = (await cluster.get("FeatureView", name)).get("status", {}).get("conditions", [])
    return {each["type"]: each for each in found}


def told(cluster: Cluster, work: Any) -> Any:
    """`work(tell)` in a thread, as a Job's process would be beside the API server."""

    def block() -> None:
        setting = f"kubernetes:{cluster.namespace}"
        with telling(setting, "FeatureView", "Materialized", api=lambda: client_of(cluster), every_s=0.02) as tell:
            work(tell)

    return asyncio.to_thread(block)


async def test_progress_is_a_condition_beside_accepted(cluster: Cluster) -> None:
    source = KubernetesSource(
        cluster.namespace, report_status=["FeatureView"], api=client_of(cluster), collect_s=0.02, absent_s=0.1
    )
    await source.load()
    watching = asyncio.create_task(source.watch(lambda _: None))
    asked, seen = asyncio.get_running_loop(), []

    def work(tell: Any) -> None:
        tell(NAME, "20,000 rows")
        running = until(lambda: running_there(cluster))
        asyncio.run_coroutine_threadsafe(running, asked).result(20)
        seen.append(asyncio.run_coroutine_threadsafe(conditions(cluster), asked).result(20)["Materialized"])
        tell(NAME, "40,000 rows until 2013-12-01T00:00:00Z", done=True)

    await told(cluster, work)
    await until(lambda: accepted_there(cluster))
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await source.close()
    assert (seen[0]["status"], seen[0]["reason"], seen[0]["message"]) == ("Unknown", "Running", "20,000 rows")
    found = await conditions(cluster)
    assert found["Accepted"]["status"] == "True"
    done = found["Materialized"]
    assert (done["status"], done["reason"]) == ("True", "Done")
    assert done["message"] == "40,000 rows until 2013-12-01T00:00:00Z"
    assert "Materialized" not in await conditions(cluster, "airport-weather")


async def running_there(cluster: Cluster) -> bool:
    return "Materialized" in await conditions(cluster)


async def accepted_there(cluster: Cluster) -> bool:
    return "Accepted" in await conditions(cluster)


async def test_what_is_broken_off_says_why(cluster: Cluster) -> None:
    def work(tell: Any) -> None:
        tell("airport-weather", "10 rows", done=True)
        tell(NAME, "20,000 rows")
        raise Unavailable("the online store does not answer")

    with pytest.raises(Unavailable):
        await told(cluster, work)
    found = (await conditions(cluster))["Materialized"]
    assert (found["status"], found["reason"]) == ("False", "Failed")
    assert found["message"] == "broken off at 20,000 rows: the online store does not answer"
    assert (await conditions(cluster, "airport-weather"))["Materialized"]["status"] == "True"


async def test_work_goes_on_without_an_api_server_or_a_right(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="catalog.source.progress")
    ended = []

    def work(tell: Any) -> None:
        tell("deleted-meanwhile", "5 rows", done=True)
        tell(NAME, "5 rows", done=True)
        ended.append(True)

    if isinstance(cluster, FakeCluster):
        cluster.server.forbidden.add("featureviews/status")
        await told(cluster, work)
        assert f"{NAME}: the Kubernetes API answered 403" in caplog.text
        assert not await conditions(cluster)
        await cluster.server.stop()
    await told(cluster, work)
    assert ended


def test_a_directory_has_no_place_for_conditions(tmp_path: Path) -> None:
    with telling(tmp_path, "FeatureView", "Materialized", api=lambda: pytest.fail("nobody to ask")) as tell:
        tell(NAME, "5 rows", done=True)
    with pytest.raises(ValueError, match="name a namespace"), telling("kubernetes:A B", "FeatureView", "Materialized"):
        pytest.fail("never there")
