"""The admin API over HTTP, on real PostgreSQL and a directory of definitions."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
import yaml
from pydantic import ValidationError

from catalog.source.directory import read_directory
from chassis.api_keys import key_hash
from control.settings import Settings
from tests.engines import RunningPostgres
from tests.fakes.control_service import ADMIN_KEY, RunningControl, running_control

pytestmark = pytest.mark.engines
FLIGHTS = Path(__file__).parents[2] / "examples" / "flights"
YAML = {"content-type": "application/yaml"}
VIEW = """
apiVersion: mizzen.dev/v1alpha1
kind: FeatureView
metadata: {name: maschinen}
spec:
  entities: [{name: maschine, dtype: STRING}]
  source: {tables: {messungen: messungen.parquet}, sql: "select maschine, zeit, temperatur from messungen", timestampColumn: zeit}
  features: [{name: temperatur, dtype: FLOAT64, unit: Grad Celsius}]
"""


@pytest.fixture
async def control(postgres: str, tmp_path: Path) -> AsyncIterator[RunningControl]:
    async with running_control(postgres, tmp_path) as running:
        yield running


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """As the serving role, closed however the test ends: an open connection would keep its database from being dropped."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def flights() -> str:
    return "\n---\n".join(path.read_text() for path in sorted(FLIGHTS.glob("*.yaml")))


async def changes(control: RunningControl, **query: str) -> list[tuple[str, str, str]]:
    found = (await control.ok("GET", "audit", params=query))["changes"]
    return [(each["action"], each["object"], each["outcome"]) for each in found]


async def test_a_key_is_made_told_to_services_and_revoked(control: RunningControl) -> None:
    before = await control.read_keys()
    assert (await control.read_keys(before.version)).unchanged
    made = await control.ok("POST", "keys", 201, json={"name": "shop", "tenant": "acme", "scopes": ["read", "infer"]})
    assert made["key"].startswith("mzn_")
    assert made["about"] | {"id": "", "created": ""} == {
        "id": "", "name": "shop", "tenant": "acme", "scopes": ["infer", "read"], "created": "", "created_by": "admin",
        "expires": None, "revoked": None, "revoked_by": "",
    }  # fmt: skip
    after = await control.read_keys(before.version)
    secret = bytes.fromhex(control.settings.service_secret_file.read_text().strip())
    (told,) = after.keys
    assert (told.name, told.tenant, list(told.scopes), told.hash, told.expires_us) == (
        "shop", "acme", ["infer", "read"], key_hash(secret, made["key"]), 0,
    )  # fmt: skip
    key_id = made["about"]["id"]
    revoked = await control.ok("DELETE", f"keys/{key_id}")
    assert revoked["revoked"] is not None
    assert revoked["revoked_by"] == "admin"
    assert await control.ok("DELETE", f"keys/{key_id}") == revoked, "once more changes nothing"
    last = await control.read_keys(after.version)
    assert (last.unchanged, list(last.keys)) == (False, [])
    assert await changes(control, object="key acme/shop") == [
        ("key.revoke", "key acme/shop", "done"), ("key.create", "key acme/shop", "done"),
    ]  # fmt: skip
    assert (await control.ok("GET", f"keys/{key_id}")) == revoked


async def test_nothing_shows_a_key_again(control: RunningControl, postgres: str) -> None:
    made = await control.ok("POST", "keys", 201, json={"name": "shop"})
    async with connected(postgres) as connection:
        stored = [
            str(row) for table in ("keys", "audit") for row in await connection.fetch(f"select * from control.{table}")
        ]
    shown = json.dumps([await control.ok("GET", "keys"), await control.ok("GET", "audit")])
    assert not [text for text in (*stored, shown) if made["key"] in text]
    assert key_hash(bytes.fromhex(control.settings.service_secret_file.read_text().strip()), made["key"]) not in shown


async def test_keys_come_by_pages_and_by_tenant(control: RunningControl) -> None:
    for number in range(5):
        await control.ok("POST", "keys", 201, json={"name": f"n{number}", "tenant": "ab"[number % 2]})
    first = await control.ok("GET", "keys", params={"limit": 3})
    rest = await control.ok("GET", "keys", params={"limit": 3, "after": first["next"]})
    assert [key["name"] for key in first["keys"] + rest["keys"]] == [f"n{number}" for number in range(5)]
    assert rest["next"] == ""
    await control.ok("DELETE", f"keys/{first['keys'][1]['id']}")
    names = [[key["name"] for key in (await control.ok("GET", "keys", params=query))["keys"]] for query in (
        {"tenant": "b"}, {"tenant": "b", "revoked": "true"}, {"tenant": "c"},
    )]  # fmt: skip
    assert names == [["n3"], ["n1", "n3"], []]
    pages = [page := await control.ok("GET", "audit", params={"limit": 4})]
    pages.append(await control.ok("GET", "audit", params={"limit": 4, "before": page["next"]}))
    assert [len(page["changes"]) for page in pages] == [4, 2]
    told = [change["id"] for page in pages for change in page["changes"]]
    assert told == sorted(set(told), reverse=True)


@pytest.mark.parametrize(
    ("body", "status", "reason", "words"),
    [
        ({"name": "Shop"}, 400, "INVALID_VALUE", "the name is not 1 to 63"),
        ({"name": "shop", "tenant": "a b"}, 400, "INVALID_VALUE", "the tenant is not"),
        ({"name": "shop", "scopes": ["root"]}, 400, "INVALID_VALUE", "scopes[0] must be 'read'"),
        ({"name": "shop", "scopes": []}, 400, "INVALID_VALUE", "name some of read, infer, write, admin"),
        ({"name": "shop", "expires": "2020-01-01T00:00:00Z"}, 400, "INVALID_VALUE", "in the past"),
        (
            {"name": "shop", "expires": "2999-01-01T00:00:00"},
            400,
            "INVALID_VALUE",
            "expires must have timezone",
        ),
        ({"name": "shop", "scope": ["read"]}, 400, "UNKNOWN_FIELD", "there is no field scope"),
        ({}, 400, "INVALID_VALUE", "name is missing"),
        ([], 400, "INVALID_VALUE", "the body must be an object"),
    ],
)
async def test_a_wrong_key_is_refused_by_field(
    control: RunningControl, body: Any, status: int, reason: str, words: str
) -> None:
    found = await control.wrong("POST", "keys", json=body)
    assert found[:2] == (status, reason)
    assert words in found[2]
    assert (await control.ok("GET", "keys"))["keys"] == []


async def test_two_keys_of_one_name_are_not_in_force_at_once(control: RunningControl) -> None:
    answers = await asyncio.gather(
        *(control.http.post("/admin/v1/keys", json={"name": "shop", "tenant": "acme"}) for _ in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert await changes(control) == [("key.create", "key acme/shop", "done")], "what is not made is in no log"
    (key,) = (await control.ok("GET", "keys"))["keys"]
    await control.ok("DELETE", f"keys/{key['id']}")
    await control.ok("POST", "keys", 201, json={"name": "shop", "tenant": "acme"})


async def test_only_admins_come_in(control: RunningControl) -> None:
    made = {
        scope: await control.ok("POST", "keys", 201, json={"name": name, "scopes": [scope]})
        for name, scope in (("admin-2", "admin"), ("all", "*"), ("reader", "read"))
    }
    soon = datetime.now(UTC) + timedelta(milliseconds=700)
    short = await control.ok("POST", "keys", 201, json={"name": "s", "scopes": ["admin"], "expires": soon.isoformat()})
    async with httpx2.AsyncClient(base_url=control.http.base_url) as http:

        async def asked(*, path: str = "/admin/v1/keys", **headers: str) -> tuple[int, str]:
            answer = await http.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            return answer.status_code, answer.json().get("reason", "")

        assert await asked() == (401, "API_KEY_MISSING")
        assert await asked(x_api_key="mzn_guess") == (401, "API_KEY_INVALID")
        assert await asked(x_api_key=made["read"]["key"]) == (403, "SCOPE_MISSING")
        assert await asked(x_api_key=made["*"]["key"]) == (403, "SCOPE_MISSING")
        assert await asked(authorization=f"Bearer {made['admin']['key']}") == (200, "")
        assert await asked(x_api_key=ADMIN_KEY) == (200, "")
        assert await asked(path="/admin/v1/nothing") == (401, "API_KEY_MISSING"), "nobody learns which paths there are"
        assert await asked(path="/admin/v1/nothing", x_api_key=ADMIN_KEY) == (404, "PATH_NOT_FOUND")
        await control.ok("DELETE", f"keys/{made['admin']['about']['id']}")
        assert await asked(x_api_key=made["admin"]["key"]) == (401, "API_KEY_INVALID")
        while datetime.now(UTC) < soon:
            await asyncio.sleep(0.05)
        assert await asked(x_api_key=short["key"]) == (401, "API_KEY_EXPIRED")
        # A body is not even read of somebody who may not send one.
        answer = await http.post(
            "/admin/v1/keys", content=b"x" * 2_000_000, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 401


async def test_what_admins_do_and_who_is_refused_is_counted(control: RunningControl) -> None:
    def counted(name: str, **labels: str) -> float | None:
        return control.metrics.registry.get_sample_value(name, labels)

    refused, changes_ = "mizzen_control_refused_calls_total", "mizzen_control_changes_total"
    assert counted(refused, reason="API_KEY_INVALID") == 0.0, "a series is there before its first event"
    assert counted(changes_, action="key.create", outcome="done") == 0.0
    await control.wrong("GET", "keys", headers={"authorization": "Bearer mzn_guess"})
    await control.ok("POST", "keys", 201, json={"name": "shop"})
    await control.wrong("POST", "definitions", content=VIEW.replace("spec:", "specs:"), headers=YAML)
    assert counted(refused, reason="API_KEY_INVALID") == 1.0
    assert counted(changes_, action="key.create", outcome="done") == 1.0
    assert counted(changes_, action="definition.put", outcome="refused") == 1.0


async def test_every_path_is_behind_the_guard(control: RunningControl) -> None:
    document = (await control.http.get("/openapi.json")).json()
    calls = [(method, path) for path, methods in document["paths"].items() for method in methods]
    assert len(calls) >= 9
    async with httpx2.AsyncClient(base_url=control.http.base_url) as http:
        for method, path in calls:
            assert path.startswith("/admin/v1/")
            answer = await http.request(method, path.replace("{kind}", "Endpoint").replace("{", "").replace("}", ""))
            assert (answer.status_code, answer.json()["reason"]) == (401, "API_KEY_MISSING")


async def test_faults_of_http_are_problems_too(control: RunningControl) -> None:
    assert (await control.wrong("PATCH", "keys", json={}))[:2] == (405, "METHOD_NOT_ALLOWED")
    assert (await control.wrong("POST", "keys", content=b"{", headers={"content-type": "application/json"}))[
        1
    ] == "INVALID_JSON"
    assert (await control.wrong("POST", "keys", data={"name": "shop"}))[:2] == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert (await control.wrong("POST", "definitions", content=b"x" * 1_000_001, headers=YAML))[:2] == (
        413,
        "BODY_TOO_LARGE",
    )
    assert (await control.wrong("GET", "keys/not-a-uuid"))[:2] == (400, "INVALID_VALUE")
    assert (await control.wrong("GET", "keys", params={"limit": "0"}))[:2] == (400, "INVALID_VALUE")
    assert (await control.wrong("GET", "keys/01980000-0000-7000-8000-000000000000"))[:2] == (404, "KEY_NOT_FOUND")
    assert (await control.wrong("GET", "definitions/Pod/x"))[:2] == (400, "INVALID_VALUE")
    assert (await control.wrong("GET", "definitions/Endpoint/x"))[:2] == (404, "DEFINITION_NOT_FOUND")


async def test_definitions_are_applied_as_a_whole_and_read_back(control: RunningControl) -> None:
    applied = await control.ok("POST", "definitions", content=flights(), headers=YAML)
    assert {each["effect"] for each in applied["definitions"]} == {"created"}
    kinds = [each["kind"] for each in applied["definitions"]]
    assert kinds == sorted(kinds, key=("FeatureView", "InferenceService", "Collection", "Endpoint").index)
    catalog = read_directory(control.definitions)
    assert catalog.errors == ()
    assert catalog == read_directory(FLIGHTS)
    again = await control.ok("POST", "definitions", content=flights(), headers=YAML)
    assert {each["effect"] for each in again["definitions"]} == {"unchanged"}
    log = await changes(control)
    assert len(log) == len(applied["definitions"]), "what changes nothing is in no log"
    listed = (await control.ok("GET", "definitions"))["definitions"]
    assert sorted((each["kind"], each["name"], each["revision"]) for each in listed) == sorted(
        (each["kind"], each["name"], each["revision"]) for each in applied["definitions"]
    )


async def test_a_wrong_definition_changes_nothing_and_all_is_told(control: RunningControl) -> None:
    await control.ok("POST", "definitions", content=VIEW, headers=YAML)
    text = (control.definitions / "featureview-maschinen.yaml").read_text()
    wrong = VIEW.replace("unit: Grad Celsius", "einheit: K") + "---" + VIEW.replace("FeatureView", "Endpont")
    answer = await control.http.post("/admin/v1/definitions", content=wrong, headers=YAML)
    body = answer.json()
    assert (answer.status_code, body["reason"]) == (400, "DEFINITION_REFUSED")
    assert [(fault["line"], fault["kind"], fault["field"]) for fault in body["faults"]] == [
        (8, "FeatureView", "spec.features[0].einheit"), (11, "Endpont", "kind"),
    ]  # fmt: skip
    assert "line 8: spec.features[0].einheit: there is no such field" in body["detail"]
    assert [path.name for path in control.definitions.glob("*.yaml")] == ["featureview-maschinen.yaml"]
    assert (control.definitions / "featureview-maschinen.yaml").read_text() == text
    assert ("definition.put", "FeatureView/maschinen", "refused") in await changes(control)
    assert (await control.wrong("POST", "definitions", content="a: 1", headers=YAML))[1] == "NO_DEFINITION"


async def test_what_others_need_is_not_taken_away(control: RunningControl) -> None:
    await control.ok("POST", "definitions", content=flights(), headers=YAML)
    status, reason, words = await control.wrong("DELETE", "definitions/FeatureView/airport-weather")
    assert (status, reason) == (409, "DEFINITION_NEEDED")
    assert "needed by Endpoint flight-delay" in words
    assert (control.definitions / "featureview-airport-weather.yaml").exists()
    removed = await control.ok("DELETE", "definitions/Endpoint/flight-delay")
    assert removed["effect"] == "removed"
    await control.ok("DELETE", "definitions/FeatureView/airport-weather")
    assert (await changes(control))[:3] == [
        ("definition.remove", "FeatureView/airport-weather", "done"),
        ("definition.remove", "Endpoint/flight-delay", "done"),
        ("definition.remove", "FeatureView/airport-weather", "refused"),
    ]


async def test_of_two_who_change_what_they_read_one_is_told(control: RunningControl) -> None:
    await control.ok("POST", "definitions", content=VIEW, headers=YAML)
    read = (await control.ok("GET", "definitions/FeatureView/maschinen"))["manifest"]
    assert read["metadata"]["resourceVersion"]
    for unit, status in (("Kelvin", 200), ("Fahrenheit", 409)):
        read["spec"]["features"][0]["unit"] = unit
        answer = await control.http.post("/admin/v1/definitions", json=read)
        assert answer.status_code == status, answer.text
    stored = yaml.safe_load((control.definitions / "featureview-maschinen.yaml").read_text())
    assert stored["spec"]["features"][0]["unit"] == "Kelvin"
    assert "resourceVersion" not in stored["metadata"]
    assert (await changes(control))[:2] == [
        ("definition.put", "FeatureView/maschinen", outcome) for outcome in ("failed", "done")
    ]
    answer = await control.http.delete("/admin/v1/definitions/FeatureView/maschinen", params={"revision": "old"})
    assert (answer.status_code, answer.json()["reason"]) == (409, "REVISION_CHANGED")


async def test_a_dry_run_changes_nothing(control: RunningControl) -> None:
    found = await control.ok("POST", "definitions", content=VIEW, headers=YAML, params={"dry_run": "true"})
    assert [(each["effect"], each["revision"]) for each in found["definitions"]] == [("created", "")]
    assert list(control.definitions.glob("*.yaml")) == []
    assert await changes(control) == []


async def test_without_the_log_nothing_is_changed(control: RunningControl, postgres_server: RunningPostgres) -> None:
    postgres_server.pause()
    try:
        found = await control.wrong("POST", "definitions", content=VIEW, headers=YAML)
        assert found[:2] == (503, "STORE_TIMEOUT")
        assert list(control.definitions.glob("*.yaml")) == []
        assert (await control.wrong("POST", "keys", json={"name": "shop"}))[0] == 503
    finally:
        postgres_server.resume()
    await control.ok("POST", "definitions", content=VIEW, headers=YAML)


async def test_the_serving_role_cannot_change_the_log(control: RunningControl, postgres: str) -> None:
    await control.ok("POST", "keys", 201, json={"name": "shop"})
    async with connected(postgres) as connection:
        for statement in (
            "update control.audit set subject = 'x'",
            "delete from control.audit",
            "truncate control.audit",
        ):
            with pytest.raises(asyncpg.RaiseError, match="kept as they are"):
                await connection.execute(statement)
    assert await changes(control) == [("key.create", "key default/shop", "done")]


async def test_without_keys_only_this_machine_and_its_own_pages_are_served(postgres: str, tmp_path: Path) -> None:
    async with running_control(postgres, tmp_path, keyless=True) as control:
        await control.ok("POST", "keys", 201, json={"name": "shop"})
        assert (await control.ok("GET", "audit"))["changes"][0]["subject"] == "anonymous"
        assert (await control.wrong("GET", "keys", headers={"host": "evil.example"}))[:2] == (421, "HOST_REFUSED")
        assert (await control.wrong("GET", "keys", headers={"origin": "https://evil.example"}))[:2] == (
            403,
            "ORIGIN_REFUSED",
        )


def test_off_loopback_a_key_is_needed() -> None:
    with pytest.raises(ValidationError, match=r"MIZZEN_HOST=0\.0\.0\.0 is not loopback, and there is no admin key"):
        Settings(host="0.0.0.0")


async def test_the_command_makes_lists_and_revokes_keys_there(control: RunningControl, tmp_path: Path) -> None:
    environment = {
        "PATH": os.defpath, "MIZZEN_STATE": str(tmp_path / "command"), "MIZZEN_ADMIN_URL": str(control.http.base_url),
        "MIZZEN_ADMIN_KEY_FILE": str(control.settings.admin_key_file), "COLUMNS": "200",
    }  # fmt: skip

    async def mizzen_key(*words: str, fails: str = "") -> str:
        line = [sys.executable, "-m", "cli", "key", *words, "--control"]
        done = await asyncio.to_thread(
            subprocess.run, line, env=environment, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode == 1) == bool(fails), done.stdout + done.stderr
        assert fails in done.stderr
        return done.stdout

    for tenant in ("acme", "bolt"):
        key = (
            await mizzen_key("create", "shop", "--tenant", tenant, "--scopes", "infer,read", "--expires", "2999-01-01")
        ).strip()
    assert key.startswith("mzn_")
    told = await control.read_keys()
    assert {(each.name, each.tenant, tuple(each.scopes)) for each in told.keys} == {
        ("shop", tenant, ("infer", "read")) for tenant in ("acme", "bolt")
    }
    listed = await mizzen_key("list")
    assert [line.split() for line in listed.splitlines()[1:]] == [
        ["shop", tenant, "infer,read", "2999-01-01T00:00:00Z", "admin"] for tenant in ("acme", "bolt")
    ]
    await mizzen_key("create", "shop", "--tenant", "acme", fails="tenant acme has a key shop already")
    await mizzen_key("create", "new", "--expires", "soon", fails="--expires soon: the expiry is no day")
    await mizzen_key("revoke", "shop", fails="is in several tenants (acme, bolt): name one with --tenant")
    assert await mizzen_key("revoke", "shop", "--tenant", "bolt") == "shop of tenant bolt revoked\n"
    await mizzen_key("revoke", "shop", "--tenant", "bolt", fails="there is no key shop of tenant bolt")
    assert [each.tenant for each in (await control.read_keys()).keys] == ["acme"]
    await mizzen_key("list", "--file", "keys", fails="a key is in one of them")
