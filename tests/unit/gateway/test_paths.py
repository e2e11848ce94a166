"""Paths whose variables are not named as their parameters are: what the author meant is asked for and sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.tool_gateway.catalogue import foreign
from services.tool_gateway.catalogue.document import read_tools
from services.tool_gateway.catalogue.importer import Import, Wish, import_document
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.encode import prepare
from shared.errors import BadInput

NUMBER = {"type": "integer"}


def bring(path: str, *parameters: str) -> Import:
    described = [{"name": name, "in": "path", "required": True, "schema": NUMBER} for name in parameters]
    given: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Fleet", "version": "1"},
        "servers": [{"url": "https://fleet.example"}],
        "paths": {path: {"get": {"operationId": "look", "parameters": described}}},
    }
    return import_document(foreign.parse(json.dumps(given).encode()), "", Wish("fleet"))


@pytest.mark.parametrize(
    ("path", "described", "arguments", "sent"),
    [
        ("/vans/{vanId}", ["van_id"], {"van_id": 7}, "/vans/7"),
        ("/vans/{VANID}/seats/{seat}", ["vanId", "seat"], {"vanId": 7, "seat": 2}, "/vans/7/seats/2"),
        ("/vans/:vanId/seats", ["vanId"], {"vanId": 7}, "/vans/7/seats"),
        ("/vans/:id/:idx", ["id", "idx"], {"id": 7, "idx": 8}, "/vans/7/8"),
        ("/vans/{id:[0-9]+}", ["id"], {"id": 7}, "/vans/7"),
        ("/files/{+name}", ["name"], {"name": 7}, "/files/7"),
        ("/files/{name*}", ["name"], {"name": 7}, "/files/7"),
        ("/vans/{id}:park", ["id"], {"id": 7}, "/vans/7:park"),
        ("/vans/{id}/twin/{id}", ["id"], {"id": 7}, "/vans/7/twin/7"),
        ("/vans/{id}{?page,size}", ["id"], {"id": 7}, "/vans/7"),
        ("/vans/{id}", [], {"id": "a b"}, "/vans/a%20b"),
        ("/vans/{van_id}/of/{vanId}", ["vanId"], {"van_id": "x", "vanId": 7}, "/vans/x/of/7"),
        ("/vans", ["id"], {}, "/vans"),
    ],
)
def test_variables_and_parameters_find_each_other(
    path: str, described: list[str], arguments: dict[str, Any], sent: str
) -> None:
    made = bring(path, *described)
    for tool in (*made.tools, *read_tools(made.document, "fleet")):  # as imported, and as read from the catalogue later
        assert tool.problem_with(arguments) is None
        assert tool.input_schema["required"] == list(tool.input_schema["properties"])
        assert tool.input_schema["properties"].keys() == arguments.keys()
        assert prepare(tool, arguments, Secrets({})).url == "https://fleet.example" + sent


def test_what_nobody_described_is_told() -> None:
    notes = {note for path in (["/vans/{id}"], ["/vans", "id"]) for note in bring(*path).notes()}
    assert notes == {
        "{id} of the path is not described: any text is taken",
        "the path has no {id}: it is not asked for",
    }
    assert bring("/vans/{vanId}", "van_id").notes() == {}


@pytest.mark.parametrize("path", ["/vans/{}", "/vans/{a b}", "/vans/{{id}}"])
def test_a_variable_that_is_no_name_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match="of the path"):
        bring(path)


def test_an_undescribed_variable_cannot_climb() -> None:
    (tool,) = bring("/vans/{id}/keys").tools
    for hostile in ("..", ".", ""):
        with pytest.raises(BadInput, match="cannot be part of a path"):
            prepare(tool, {"id": hostile}, Secrets({}))
    assert prepare(tool, {"id": "../x?y#z"}, Secrets({})).url == "https://fleet.example/vans/..%2Fx%3Fy%23z/keys"
