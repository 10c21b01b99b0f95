"""Writing definitions: one suite on a directory, on the fake Kubernetes API and, with MIZZEN_TEST_KUBECONFIG, on a real one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from catalog.found import Found
from catalog.kinds.table import KINDS
from catalog.parse import find_in_text
from catalog.source.kubernetes import KubernetesSource
from catalog.source.named import source_from
from catalog.writer.directory import DirectoryWriter
from catalog.writer.kubernetes import KubernetesWriter
from catalog.writer.named import writer_to
from catalog.writer.port import DefinitionWriter
from chassis.errors import Aborted, FailedPrecondition, InvalidArgument, PermissionDenied, Unavailable
from tests.fakes.clusters import Cluster, FakeCluster, a_cluster, client_of

FLIGHTS = Path(__file__).parents[2] / "examples" / "flights"
COLLECTION = """
# Kept as it was written.
apiVersion: mizzen.dev/v1alpha1
kind: Collection
metadata:
  name: anleitungen
  labels: {team: müller}
spec:
  chunking: {maxCharacters: 800}
  embedding: {inferenceService: minilm, model: minilm, dimensions: 384}
"""


def given(text: str = COLLECTION, **changes: str) -> Found:
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (found,), errors = find_in_text(text, "")
    assert errors == []
    return found


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(tmp_path) as found:
        yield found


@pytest.fixture(params=["directory", "kubernetes"])
async def writer(request: pytest.FixtureRequest, tmp_path: Path, cluster: Cluster) -> AsyncIterator[DefinitionWriter]:
    if request.param == "directory":
        made: DefinitionWriter = DirectoryWriter(tmp_path / "definitions")
    else:
        made = KubernetesWriter(cluster.namespace, client_of(cluster))
    yield made
    await made.close()


async def test_what_is_put_is_stored_changed_and_removed(writer: DefinitionWriter) -> None:
    assert await writer.stored() == []
    first = await writer.put(given())
    (stored,) = await writer.stored()
    assert (stored.kind, stored.name, stored.revision) == ("Collection", "anleitungen", first.revision)
    assert stored.manifest["spec"]["chunking"] == {"maxCharacters": 800}
    assert stored.manifest["metadata"]["labels"] == {"team": "müller"}
    assert stored.text is None or yaml.safe_load(stored.text) == stored.manifest
    second = await writer.put(given(maxCharacters="overlapCharacters", **{"800": "80"}))
    (stored,) = await writer.stored()
    assert stored.manifest["spec"]["chunking"] == {"overlapCharacters": 80}, "what is left out is gone"
    assert stored.revision == second.revision != first.revision
    assert await writer.remove("Collection", "anleitungen")
    assert await writer.stored() == []
    assert not await writer.remove("Collection", "anleitungen")


async def test_who_knows_an_older_one_is_refused(writer: DefinitionWriter) -> None:
    first = await writer.put(given())
    second = await writer.put(given(müller="meier"), first.revision)
    for change in (writer.put(given(), first.revision), writer.remove("Collection", "anleitungen", first.revision)):
        with pytest.raises(Aborted, match=f"is at revision {second.revision} now"):
            await change
    (stored,) = await writer.stored()
    assert stored.manifest["metadata"]["labels"] == {"team": "meier"}
    assert await writer.remove("Collection", "anleitungen", second.revision)
    with pytest.raises(Aborted, match="is not there any more"):
        await writer.put(given(), second.revision)
    assert await writer.stored() == []


async def test_every_kind_is_written_and_read_by_services(
    writer: DefinitionWriter, tmp_path: Path, cluster: Cluster
) -> None:
    found = [each for path in sorted(FLIGHTS.glob("*.yaml")) for each in find_in_text(path.read_text(), str(path))[0]]
    assert {each.definition.kind for each in found} == {kind.name for kind in KINDS}
    for each in found:
        await writer.put(each)
    is_directory = isinstance(writer, DirectoryWriter)
    source = (
        source_from(tmp_path / "definitions")
        if is_directory
        else KubernetesSource(cluster.namespace, api=client_of(cluster))
    )
    catalog = await source.load()
    await source.close()
    assert catalog.errors == ()
    read = {(kind.name, each.metadata.name): each.spec for kind in KINDS for each in catalog.of(kind).values()}
    assert read == {(each.definition.kind, each.definition.metadata.name): each.definition.spec for each in found}


async def test_a_file_of_a_persons_own_is_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "all.yaml"
    own.write_text(COLLECTION)
    writer = writer_to(tmp_path)
    for change in (writer.put(given(müller="meier")), writer.remove("Collection", "anleitungen")):
        with pytest.raises(FailedPrecondition, match=r"Collection anleitungen stands in all\.yaml"):
            await change
    assert own.read_text() == COLLECTION
    assert [path.name for path in tmp_path.glob("*.yaml")] == ["all.yaml"]


async def test_comments_stay_in_a_directory(tmp_path: Path) -> None:
    stored = await writer_to(tmp_path).put(given())
    assert (tmp_path / "collection-anleitungen.yaml").read_text() == stored.text == given().text
    commented = given(COLLECTION.replace("spec:", "spec:  # as measured in May"))
    await writer_to(tmp_path).put(commented)
    assert "# as measured in May" in (tmp_path / "collection-anleitungen.yaml").read_text()


async def test_a_directory_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "definitions").write_text("a file stands in the way")
    with pytest.raises(Unavailable, match="cannot be written to"):
        await writer_to(tmp_path / "definitions").put(given())


async def test_what_controllers_keep_in_an_object_stays(cluster: Cluster) -> None:
    writer = KubernetesWriter(cluster.namespace, client_of(cluster))
    object_ = yaml.safe_load(COLLECTION)
    object_["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    object_["metadata"]["finalizers"] = ["example.com/keep"]
    await cluster.apply(object_)
    (stored,) = await writer.stored()
    assert stored.manifest == yaml.safe_load(COLLECTION), "nothing of a server's or a tool's own"
    await writer.put(given(müller="meier"), stored.revision)
    now = await cluster.get("Collection", "anleitungen")
    assert now["metadata"]["finalizers"] == ["example.com/keep"]
    assert now["metadata"]["labels"] == {"team": "meier"}
    await cluster.apply({**object_, "metadata": {"name": "anleitungen", "finalizers": []}})
    await writer.close()


async def test_another_namespace_is_refused(cluster: Cluster) -> None:
    writer = KubernetesWriter(cluster.namespace, client_of(cluster))
    with pytest.raises(InvalidArgument, match=f"served from namespace {cluster.namespace}"):
        await writer.put(given(COLLECTION.replace("  name:", "  namespace: other\n  name:")))
    assert await writer.stored() == []
    await writer.close()


async def test_faults_of_the_cluster_are_told_in_words(cluster: Cluster) -> None:
    if not isinstance(cluster, FakeCluster):
        return
    writer = KubernetesWriter(cluster.namespace, client_of(cluster))
    cluster.server.absent = {"collections"}
    with pytest.raises(FailedPrecondition, match="knows no Collection"):
        await writer.put(given())
    cluster.server.absent, cluster.server.forbidden = set(), {"collections"}
    with pytest.raises(PermissionDenied, match="403"):
        await writer.put(given())
    await cluster.server.stop()
    with pytest.raises(Unavailable):
        await writer.put(given())
    await writer.close()
