"""HubSpot's associations (v4): default, typed and labelled, read back with their types, in both directions at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from sandbox.vendors.hubspot_schema import SINGULAR, TYPE_IDS, kind_of, types_between

Place = tuple[str, str, str, str]
"""(from kind, from id, to kind, to id)"""
Refuse = Callable[[int, str], web.Response]
DEFINED = "HUBSPOT_DEFINED"


class Links:
    """All associations of an account. `exists` knows its objects, `changed` hears of every new or removed one."""

    def __init__(
        self, exists: Callable[[str, str], bool], changed: Callable[[str, Place], None], error: Refuse
    ) -> None:
        self._exists, self._changed, self._error = exists, changed, error
        self.types: dict[Place, set[int]] = {}

    def add_routes(self, app: web.Application) -> None:
        one = "/crm/v4/objects/{from}/{fromId}/associations"
        app.add_routes(
            [
                web.put(one + "/default/{to}/{toId}", self.put_default),
                web.put(one + "/{to}/{toId}", self.put_typed),
                web.get(one + "/{to}", self.show),
                web.delete(one + "/{to}/{toId}", self.delete),
                web.get("/crm/v4/associations/{from}/{to}/labels", self.labels),
                web.post("/crm/v4/associations/{from}/{to}/batch/read", self.batch_read),
            ]
        )

    def linked(self, source: str, source_id: str, target: str, target_id: str) -> bool:
        return (source, source_id, target, target_id) in self.types

    def of(self, source: str, source_id: str, target: str) -> list[tuple[str, set[int]]]:
        """Ids of `target` an object is associated with, and how, in order."""
        rows = [(t, types) for (s, i, k, t), types in self.types.items() if (s, i, k) == (source, source_id, target)]
        return sorted(rows, key=lambda row: int(row[0]))

    def shown_with(self, kind: str, number: str, asked: str) -> dict[str, Any]:
        """The `associations` of an object that was read with `?associations=`."""
        found = {}
        for name in asked.split(","):
            target = kind_of(name)
            label = f"{SINGULAR[kind]}_to_{SINGULAR[target]}"
            if rows := [{"id": other, "type": label} for other, _ in self.of(kind, number, target)]:
                found[target] = {"results": rows}
        return {"associations": found} if found else {}

    def link(self, place: Place, numbers: set[int]) -> bool:
        """Associate, in both directions; a primary association is an unlabelled one too. True when there was none."""
        source, source_id, target, target_id = place
        there, back = (
            [spec["typeId"] for spec in types_between(*pair)] for pair in ((source, target), (target, source))
        )
        numbers = numbers | {there[0]}
        mirrored = {back[there.index(number)] for number in numbers}
        new = place not in self.types
        self.types.setdefault(place, set()).update(numbers)
        self.types.setdefault((target, target_id, source, source_id), set()).update(mirrored)
        return new

    def forget(self, kind: str, number: str) -> None:
        """An archived object takes its associations with it."""
        self.types = {p: t for p, t in self.types.items() if (kind, number) not in ((p[0], p[1]), (p[2], p[3]))}

    def move(self, kind: str, number: str, to: str) -> None:
        """What a merged object was associated with belongs to the one that it became. Nothing is associated with itself."""

        def moved(place: Place) -> Place:
            source, target = ((k, to if (k, i) == (kind, number) else i) for k, i in (place[:2], place[2:]))
            return (*source, *target)

        types: dict[Place, set[int]] = {}
        for place, numbers in self.types.items():
            there = moved(place)
            if there[:2] != there[2:]:
                types.setdefault(there, set()).update(numbers)
        self.types = types

    def problem(self, kind: str, associations: list[dict[str, Any]]) -> web.Response | None:
        """Why an object of `kind` cannot be created with these."""
        for item in associations:
            target = self.target(kind, item)
            if target is None:
                return self._error(400, f"association types {item.get('types')} are not valid from {kind}")
            if not self._exists(target, str(item["to"]["id"])):
                return self._error(404, f"{target} {item['to']['id']} does not exist")
        return None

    def target(self, kind: str, item: dict[str, Any]) -> str | None:
        """The kind that all types of a requested association lead to."""
        numbers = {spec["associationTypeId"] for spec in item["types"] if spec["associationCategory"] == DEFINED}
        for other in SINGULAR:
            if numbers and numbers <= {spec["typeId"] for spec in types_between(kind, other)}:
                return other
        return None

    # -- endpoints ---------------------------------------------------------------------------------------------------

    async def put_default(self, request: web.Request) -> web.Response:
        place = _place(request)
        if problem := self._unfit(place):
            return problem
        self._put(place, set())
        source, source_id, target, target_id = place
        now = _now()
        results = [
            {
                "from": {"id": a_id},
                "to": {"id": b_id},
                "associationSpec": {
                    "associationCategory": DEFINED,
                    "associationTypeId": types_between(a, b)[0]["typeId"],
                },
            }
            for a, a_id, b, b_id in (place, (target, target_id, source, source_id))
        ]
        return web.json_response({"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now})

    async def put_typed(self, request: web.Request) -> web.Response:
        place = _place(request)
        if problem := self._unfit(place):
            return problem
        source, source_id, target, target_id = place
        known = {spec["typeId"]: spec["label"] for spec in types_between(source, target)}
        wanted = await request.json()
        numbers = {spec["associationTypeId"] for spec in wanted if spec.get("associationCategory") == DEFINED}
        if not numbers or len(numbers) != len(wanted) or not numbers <= known.keys():
            return self._error(400, f"association types {wanted} are not valid from {source} to {target}")
        self._put(place, numbers)
        body = {
            "fromObjectTypeId": TYPE_IDS[source],
            "fromObjectId": source_id,
            "toObjectTypeId": TYPE_IDS[target],
            "toObjectId": target_id,
            "labels": [known[n] for n in sorted(numbers) if known[n]],
        }
        return web.json_response(body, status=201)

    async def show(self, request: web.Request) -> web.Response:
        source, target, number = (
            kind_of(request.match_info["from"]),
            kind_of(request.match_info["to"]),
            request.match_info["fromId"],
        )
        if not self._exists(source, number):
            return self._error(404, "resource not found")
        after, limit = int(request.query.get("after", 0)), int(request.query.get("limit", 500))
        rows = [row for row in self.of(source, number, target) if int(row[0]) > after]
        page: dict[str, Any] = {"results": [self._shown(source, target, row) for row in rows[:limit]]}
        if len(rows) > limit:
            page["paging"] = {"next": {"after": rows[limit - 1][0], "link": f"?after={rows[limit - 1][0]}"}}
        return web.json_response(page)

    async def batch_read(self, request: web.Request) -> web.Response:
        source, target = kind_of(request.match_info["from"]), kind_of(request.match_info["to"])
        results = []
        for item in (await request.json()).get("inputs", []):
            if rows := self.of(source, str(item["id"]), target):
                results.append(
                    {"from": {"id": str(item["id"])}, "to": [self._shown(source, target, row) for row in rows]}
                )
        now = _now()
        return web.json_response({"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now})

    async def labels(self, request: web.Request) -> web.Response:
        source, target = kind_of(request.match_info["from"]), kind_of(request.match_info["to"])
        return web.json_response({"results": types_between(source, target)})

    async def delete(self, request: web.Request) -> web.Response:
        place = source, source_id, target, target_id = _place(request)
        if self.types.pop(place, None) is not None:
            self.types.pop((target, target_id, source, source_id), None)
            self._changed("dissociate", place)
        return web.Response(status=204)

    def _put(self, place: Place, numbers: set[int]) -> None:
        if self.link(place, numbers):
            self._changed("associate", place)

    def _unfit(self, place: Place) -> web.Response | None:
        source, source_id, target, target_id = place
        if not types_between(source, target):
            return self._error(400, f"{source} and {target} cannot be associated")
        if not (self._exists(source, source_id) and self._exists(target, target_id)):
            return self._error(404, "resource not found")
        return None

    def _shown(self, source: str, target: str, row: tuple[str, set[int]]) -> dict[str, Any]:
        number, types = row
        specs = [spec for spec in types_between(source, target) if spec["typeId"] in types]
        return {"toObjectId": number, "associationTypes": specs}


def _place(request: web.Request) -> Place:
    info = request.match_info
    return kind_of(info["from"]), info["fromId"], kind_of(info["to"]), info["toId"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
