"""A small API server: list, watch with history, create, replace, delete and status patch of any namespaced object, over real HTTP.

It knows resource versions, label and field selectors, pages, bookmarks, conflicts and expired versions, and can be made to fail.
"""

import asyncio
import contextlib
import copy
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

Json = dict[str, Any]


class FakeKubernetes:
    """`url` once started. `absent` names resources without a CRD, `forbidden` those that the role lacks."""

    def __init__(self) -> None:
        self.url = ""
        self.absent: set[str] = set()
        self.forbidden: set[str] = set()
        self.page = 1000
        self.lists: dict[str, int] = {}
        self.patches: list[Json] = []
        self._version = 100
        self._oldest = 0
        self._objects: dict[tuple[str, str, str], Json] = {}
        self._history: list[tuple[int, str, str, str, Json]] = []
        self._news = asyncio.Condition()
        self._cut = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def start(self) -> None:
        """Serves, on the port that it had before if there was one."""
        app = web.Application()
        for root in ("/api/{version}", "/apis/{group}/{version}"):
            base = root + "/namespaces/{namespace}/{plural}"
            app.router.add_get(base, self._collection)
            app.router.add_patch(base + "/{name}/status", self._patch_status)
            app.router.add_post(base, self._create)
            app.router.add_get(base + "/{name}", self._one)
            app.router.add_put(base + "/{name}", self._replace)
            app.router.add_delete(base + "/{name}", self._remove)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Is away; objects stay."""
        await self.cut()
        if self._runner is not None:
            await self._runner.cleanup()

    def kubeconfig(self, directory: Path) -> str:
        """A kubeconfig file for it."""
        context = {"name": "fake", "context": {"cluster": "fake", "user": "fake"}}
        content = {
            "apiVersion": "v1", "kind": "Config", "current-context": "fake", "contexts": [context],
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "fake", "user": {"token": "t"}}],
        }  # fmt: skip
        path = directory / "kubeconfig"
        path.write_text(json.dumps(content))
        return str(path)

    async def apply(self, plural: str, item: Json) -> Json:
        """Creates or replaces; a status that is there stays."""
        item = copy.deepcopy(item)
        metadata = item["metadata"]
        key = (metadata["namespace"], plural, metadata["name"])
        before = self._objects.get(key)
        generation = before["metadata"]["generation"] + 1 if before else 1
        item["metadata"] = metadata | {"generation": generation, "uid": "-".join(key)}
        if before and "status" in before:
            item["status"] = before["status"]
        return await self._store("MODIFIED" if before else "ADDED", key, item)

    async def delete(self, namespace: str, plural: str, name: str) -> None:
        """Removes it."""
        item = self._objects.pop((namespace, plural, name))
        await self._tell("DELETED", (namespace, plural, name), item)

    def get(self, namespace: str, plural: str, name: str) -> Json:
        """As it is now."""
        return self._objects[namespace, plural, name]

    async def compact(self) -> None:
        """Forgets history and ends all watches: whoever watches from an older version gets 410."""
        self._version += 10
        self._oldest = self._version
        self._history.clear()
        await self.cut()

    async def cut(self) -> None:
        """Breaks all watches in the middle."""
        self._cut.set()
        await asyncio.sleep(0)
        async with self._news:
            self._news.notify_all()
        self._cut = asyncio.Event()

    async def _store(self, kind: str, key: tuple[str, str, str], item: Json) -> Json:
        self._objects[key] = item
        await self._tell(kind, key, item)
        return item

    async def _tell(self, kind: str, key: tuple[str, str, str], item: Json) -> None:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        self._history.append((self._version, kind, key[0], key[1], copy.deepcopy(item)))
        async with self._news:
            self._news.notify_all()

    async def _collection(self, request: web.Request) -> web.StreamResponse:
        plural = request.match_info["plural"]
        if plural in self.absent:
            return _status(404, "the server could not find the requested resource")
        if plural in self.forbidden:
            return _status(403, f"{plural} is forbidden")
        if request.query.get("watch") == "true":
            return await self._watch(request)
        self.lists[plural] = self.lists.get(plural, 0) + 1
        namespace = request.match_info["namespace"]
        items = [item for (at, of, _), item in sorted(self._objects.items()) if (at, of) == (namespace, plural)]
        items = [item for item in items if _selected(item, request)]
        start, size = int(request.query.get("continue", 0)), min(self.page, int(request.query.get("limit", 500)))
        metadata = {"resourceVersion": str(self._version)}
        if start + size < len(items):
            metadata["continue"] = str(start + size)
        return web.json_response({"metadata": metadata, "items": items[start : start + size]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        assert request.query["allowWatchBookmarks"] == "true"
        seen, cut = int(request.query["resourceVersion"]), self._cut
        if seen < self._oldest:
            return _status(410, "too old resource version")
        response = web.StreamResponse()
        await response.prepare(request)
        # Nothing of a watch may hang on one chunk being one line.
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(float(request.query["timeoutSeconds"])):
                async for line in self._events(request, seen, cut):
                    await response.write(line[:7])
                    await response.write(line[7:])
                if request.transport is not None:
                    request.transport.abort()  # broken, not ended
        return response

    async def _events(self, request: web.Request, seen: int, cut: asyncio.Event) -> AsyncIterator[bytes]:
        place = (request.match_info["namespace"], request.match_info["plural"])
        yield _line("BOOKMARK", {"metadata": {"resourceVersion": str(seen)}})
        while not cut.is_set():
            for version, kind, namespace, plural, item in self._history:
                if version > seen and (namespace, plural) == place and _selected(item, request):
                    yield _line(kind, item)
            seen = self._version
            async with self._news:
                if not cut.is_set() and self._version == seen:
                    await self._news.wait()

    def _key(self, request: web.Request, name: str = "") -> tuple[str, str, str]:
        match = request.match_info
        return match["namespace"], match["plural"], name or match["name"]

    def _refusal(self, request: web.Request, item: Json | None, version: object = None) -> web.Response | None:
        """What keeps a call on one object from being made."""
        if request.match_info["plural"] in self.forbidden:
            return _status(403, "forbidden")
        if item is None:
            return _status(404, "not found")
        if version not in (None, item["metadata"]["resourceVersion"]):
            return _status(409, "the object has been modified")
        return None

    async def _one(self, request: web.Request) -> web.Response:
        item = self._objects.get(self._key(request))
        return self._refusal(request, item) or web.json_response(item)

    async def _create(self, request: web.Request) -> web.Response:
        plural = request.match_info["plural"]
        if plural in self.absent:
            return _status(404, "the server could not find the requested resource")
        body = await request.json()
        if self._key(request, body["metadata"]["name"]) in self._objects:
            return _status(409, "already exists")
        return self._refusal(request, body | {"metadata": {"resourceVersion": ""}}) or web.json_response(
            await self.apply(plural, body), status=201
        )

    async def _replace(self, request: web.Request) -> web.Response:
        body, item = await request.json(), self._objects.get(self._key(request))
        refused = self._refusal(request, item, body["metadata"].get("resourceVersion"))
        return refused or web.json_response(await self.apply(request.match_info["plural"], body))

    async def _remove(self, request: web.Request) -> web.Response:
        body, item = await request.json(), self._objects.get(self._key(request))
        refused = self._refusal(request, item, body["preconditions"]["resourceVersion"])
        if refused is None:
            await self.delete(*self._key(request))
        return refused or web.json_response({"kind": "Status", "status": "Success"})

    async def _patch_status(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/merge-patch+json"
        match = request.match_info
        key = (match["namespace"], match["plural"], match["name"])
        item = self._objects.get(key)
        if item is None:
            return _status(404, "not found")
        if f"{match['plural']}/status" in self.forbidden:
            return _status(403, "forbidden")
        body = await request.json()
        if body.get("metadata", {}).get("resourceVersion") not in (None, item["metadata"]["resourceVersion"]):
            return _status(409, "the object has been modified")
        self.patches.append(body)
        changed = copy.deepcopy(item) | {"status": item.get("status", {}) | body["status"]}
        return web.json_response(await self._store("MODIFIED", key, changed))


def _line(kind: str, item: Json) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def _selected(item: Json, request: web.Request) -> bool:
    label, _, value = request.query.get("labelSelector", "").partition("=")
    field, _, name = request.query.get("fieldSelector", "").partition("=")
    assert field in ("", "metadata.name")
    metadata = item["metadata"]
    return (not label or metadata.get("labels", {}).get(label) == value) and (not name or metadata["name"] == name)


def _status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)
