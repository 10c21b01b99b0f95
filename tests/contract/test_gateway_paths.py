"""Methods and paths of the public REST API: what each is called, what it is not called, and what may stand in a segment."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from grpc import aio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.api_keys import key_hash
from chassis.rpc.status import from_rpc_error
from gateway.api.app import described
from gateway.api.http.page import PATHS as DOCUMENTS
from mizzen.gateway.v1 import gateway_pb2 as pb
from mizzen.gateway.v1 import gateway_pb2_grpc
from mizzen.retrieval.v1 import retrieval_pb2
from tests.contract.test_gateway_access import write_api_keys
from tests.fakes.gateway_rig import Rig, gateway_rig

TABLE = described()
FILLED = {"{name}": "late", "{model}": "echo", "{version}": "1", "{id}": "a"}
READS = [row.template for row in TABLE if row.method == "GET"] + sorted(DOCUMENTS)
EVERY = sorted({row.template for row in TABLE} | DOCUMENTS)


def filled(template: str) -> str:
    """A path of this template that leads to something."""
    for name, value in FILLED.items():
        template = template.replace(name, "handbook" if name == "{name}" and "collections" in template else value)
    return template


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with gateway_rig(tmp_path) as made:
        yield made


@pytest.fixture
async def http(rig: Rig) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=rig.url, timeout=20) as client:
        yield client


async def asked(http: httpx2.AsyncClient, method: str, path: str, **more: Any) -> httpx2.Response:
    """The path as it stands, which httpx would tidy up."""
    url = httpx2.URL(str(http.base_url).rstrip("/"), raw_path=path.encode())
    return await http.send(http.build_request(method, url, **more))


async def test_head_is_get_without_its_body(http: httpx2.AsyncClient) -> None:
    for path in map(filled, READS):
        shown, head = await http.get(path), await http.head(path)
        assert head.status_code == shown.status_code, path
        assert head.content == b"", path
        own = ("x-request-id", "date")
        left, right = ({k: v for k, v in answer.headers.items() if k not in own} for answer in (shown, head))
        assert left == right, path


async def test_other_methods_are_405_with_the_ones_there_are(http: httpx2.AsyncClient) -> None:
    for path in map(filled, EVERY):
        told = await http.request("OPTIONS", path)
        assert (told.status_code, told.content) == (204, b""), path
        allowed = told.headers["allow"].split(", ")
        assert ("HEAD" in allowed) == ("GET" in allowed), path
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} - set(allowed):
            refused = await http.request(method, path)
            assert (refused.status_code, refused.headers["allow"]) == (405, told.headers["allow"]), (method, path)
            if method != "HEAD":
                assert set(refused.json()) == {"error"} if path.startswith("/v2") else "reason" in refused.json()
    for path in ("/", "/v1", "/v2/nothing", "/nothing"):
        assert (await http.request("OPTIONS", path)).status_code == 404


async def test_an_encoded_colon_is_a_colon(http: httpx2.AsyncClient) -> None:
    body = {"entities": {"tailnum": ["N14228"]}, "inputs": {"distance": [10.0]}}
    for path in ("/v1/endpoints/late%3Apredict", "/v1/endpoints/late%3apredict", "/v1/endpoints/l%61te:predict"):
        assert (await asked(http, "POST", path, json=body)).status_code == 200, path
    read = {"features": ["plane:seats"], "entities": {"tailnum": ["a"]}}
    assert (await asked(http, "POST", "/v1/features%3Aread", json=read)).status_code == 200
    for path in ("/v1/endpoints/late%253Apredict", "/v1/endpoints%2Flate:predict", "/v1/endpoints/late:predict:predict",
                 "/v1/endpoints/:predict", "/v1/endpoints/late:"):  # fmt: skip
        assert (await asked(http, "POST", path, json=body)).status_code == 404, path
    wrong = await asked(http, "GET", "/v1/endpoints/%FF")
    assert (wrong.status_code, wrong.json()["reason"]) == (400, "INVALID_PATH")


@st.composite
def printable_ids(draw: st.DrawFn) -> str:
    text: str = draw(st.text(st.characters(codec="utf-8").filter(str.isprintable), min_size=1, max_size=24))
    awkward = draw(
        st.sampled_from(
            ["", "?", "#", "%", "%2F", "/", "//", "a/../b", "..", "\\", "+", "&a=b", ";", ":", "{id}", "é", "退货"]
        )
    )
    return draw(st.sampled_from([text + awkward, awkward + text, text]))


async def test_every_printable_character_may_stand_in_a_documents_id(rig: Rig, http: httpx2.AsyncClient) -> None:
    found = [f"x{chr(code)}y" for code in range(0x20, 0x250) if chr(code).isprintable()]
    found += ["https://a.example/b?c=d#e", "a b/c.md", "?", "#", "%", "/", "a//b/", ".", "..", "a\u200db"]

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(printable_ids())
    def collect(document_id: str) -> None:
        found.append(document_id)

    collect()
    documents = "/v1/collections/handbook/documents"
    async with aio.insecure_channel(rig.target) as channel:
        stub: Any = gateway_pb2_grpc.CollectionServiceStub(channel)
        for turn, document_id in enumerate(found):
            body = {"documents": [{"id": document_id, "text": "t"}]}
            assert (await http.post(documents, json=body)).status_code == 200, document_id
            # A slash may be written as it is, unless clients would take the id's dots for steps in a path.
            plain = turn % 2 and not {".", "..", ""} & set(document_id.split("/"))
            path = f"{documents}/{quote(document_id, safe='/') if plain else quote(document_id, safe='').replace('.', '%2E')}"
            shown = await asked(http, "GET", path)
            assert (shown.status_code, shown.json().get("id")) == (200, document_id), path
            where = {"collection": "handbook", "id": document_id}
            assert (await stub.GetDocument(pb.GetDocumentRequest(**where), timeout=5)).id == document_id
            if turn % 3:
                assert (await asked(http, "DELETE", path)).json() == {"deleted": True}, path
            else:
                assert (await stub.DeleteDocument(pb.DeleteDocumentRequest(**where), timeout=5)).deleted
            assert (await asked(http, "GET", path)).status_code == 404, path
    assert not rig.retrieval.documents


@pytest.mark.parametrize("document_id", ["a\r\nb", "a\tb", "\x00", "\x7f", "a\x85", "a\u2028b"])
async def test_ids_with_control_characters_are_refused_on_the_way_in(
    rig: Rig, http: httpx2.AsyncClient, document_id: str
) -> None:
    documents = "/v1/collections/handbook/documents"
    refused = await http.post(
        documents, json={"documents": [{"id": "ok", "text": "t"}, {"id": document_id, "text": "t"}]}
    )
    problem = refused.json()
    assert refused.status_code == 400
    request = pb.UpsertDocumentsRequest(collection="handbook")
    request.documents.add(id="ok", text="t")
    request.documents.add(id=document_id, text="t")
    async with aio.insecure_channel(rig.target) as channel:
        stub: Any = gateway_pb2_grpc.CollectionServiceStub(channel)
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.UpsertDocuments(request, timeout=5)
    error = from_rpc_error(caught.value)
    assert (
        (problem["reason"], problem["field"])
        == (error.reason, error.field)
        == ("DOCUMENT_ID_INVALID", "documents[1].id")
    )
    assert not rig.retrieval.documents
    if document_id != "\x00":
        # One that was stored before ids were looked at can be read and deleted.
        rig.retrieval.documents["handbook", document_id] = retrieval_pb2.Document(id=document_id)
        path = f"{documents}/{quote(document_id, safe='')}"
        assert (await asked(http, "GET", path)).json()["id"] == document_id
        assert (await asked(http, "DELETE", path)).json() == {"deleted": True}


ADMIN = [
    "/v2/repository/index", "/v2/repository/models/echo/load", "/v2/repository/models/echo/unload", "/v2/logging",
    "/v2/systemsharedmemory/status", "/v2/systemsharedmemory/region/x/register", "/v2/cudasharedmemory/status",
    "/v2/trace/setting", "/v2/models/echo/trace/setting", "/v2/models/echo/config", "/v2/models/echo/generate",
    "/v2/models/echo/versions/1/config",
]  # fmt: skip


def variants(path: str) -> list[str]:
    """Other ways to write a path that some server reads as it."""
    segments = path.split("/")[1:]
    last = segments[-1]
    hexed = "".join(f"%{ord(c):02x}" for c in last)
    up = "/" + "/".join(segments[:-1])
    return [
        path, path + "/", path + "?x=1", path + ";x=1", path + "%00", path + "%20", path + "%2f", path + ".json",
        path.replace("/", "//"), path.replace("/", "/./"), "/" + path.replace("/", "%2F")[3:],
        path.upper(), path.title(), f"{up}/{hexed}", f"{up}/{hexed.replace('%', '%25')}", f"{up}/x/../{last}",
        f"{up}/x/%2e%2e/{last}", f"/v2/models/..{path}", f"/v2/models/../..{path}", f"/v2/models/echo/..{path}",
        f"/v2/models/echo%2F..%2F..{path}", "/v2" + path[3:].replace("/", "\\"), path.replace("/", "/%09"), f"//localhost{path}",
    ]  # fmt: skip


async def test_no_spelling_of_tritons_admin_calls_gets_through(rig: Rig, http: httpx2.AsyncClient) -> None:
    tried = list(
        itertools.product(itertools.chain.from_iterable(map(variants, ADMIN)), ("GET", "POST", "PUT", "DELETE"))
    )
    assert len(tried) >= 924
    for path, method in tried:
        answer = await asked(http, method, path, **({"json": {}} if method in ("POST", "PUT") else {}))
        assert answer.status_code in (400, 404, 405), (method, path)
    assert not rig.triton.calls


async def test_with_keys_each_path_asks_for_its_scope(tmp_path: Path) -> None:
    keys = write_api_keys(tmp_path)
    secret = bytes.fromhex((tmp_path / "keys/service.secret").read_text().strip())
    with keys.open("a") as file:
        for scope in ("read", "infer", "write"):
            file.write(f"only-{scope}:acme:{scope}:{key_hash(secret, f'only-{scope}')}\n")
    open_ones = {"/v2/health/live"} | DOCUMENTS
    async with (
        gateway_rig(tmp_path, settings={"api_keys_file": keys}) as rig,
        httpx2.AsyncClient(base_url=rig.url) as http,
    ):
        for row in TABLE:
            path = filled(row.template)
            for spelled in (path, path.replace(":", "%3A"), path.replace("v", "%76")):
                refused = await asked(http, row.method, spelled, json={})
                assert (refused.status_code == 200) == (row.template in open_ones), (row, spelled)
                if row.template in open_ones:
                    continue
                assert refused.status_code == 401, (row, spelled)
                assert row.method == "GET" or row.scope in ("infer", "write")
                for scope in {"read", "infer", "write"} - {row.scope}:
                    answer = await asked(http, row.method, spelled, json={}, headers={"x-api-key": f"only-{scope}"})
                    assert answer.status_code == 403, (row, spelled, scope)
                own = await asked(http, row.method, spelled, json={}, headers={"x-api-key": f"only-{row.scope}"})
                assert own.status_code not in (401, 403), (row, spelled)
