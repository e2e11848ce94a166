"""Swagger 2.0: the same tools and requests as from OpenAPI 3.0."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import yaml

from services.tool_gateway.catalogue import foreign
from services.tool_gateway.catalogue.importer import Import, Wish, import_document
from services.tool_gateway.wire.credentials import Secrets, apply_credentials
from services.tool_gateway.wire.encode import prepare
from services.tool_gateway.wire.prepared import Prepared
from shared.errors import BadInput
from shared.redaction import Redactions

PETS = """
swagger: "2.0"
info: {title: Kennel, version: "1"}
host: kennel.example
basePath: /v2
schemes: [http, https]
consumes: [application/json]
produces: [application/xml, application/json]
security: [{Key: []}]
securityDefinitions:
  Key: {type: apiKey, in: header, name: X-Key}
  Login: {type: basic}
  Sign: {type: oauth2, flow: application, tokenUrl: "https://kennel.example/token", scopes: {r: Read}}
  Code: {type: oauth2, flow: accessCode, tokenUrl: "https://kennel.example/token", authorizationUrl: "https://kennel.example/go"}
  Person: {type: oauth2, flow: implicit, authorizationUrl: "https://kennel.example/go"}
parameters:
  Page: {name: page, in: query, type: integer, minimum: 1}
  Dog: {name: dog, in: body, required: true, schema: {$ref: "#/definitions/Dog"}}
responses:
  Gone: {description: Gone., schema: {$ref: "#/definitions/Dog"}}
definitions:
  Dog:
    type: object
    required: [name, id]
    properties:
      id: {type: integer, readOnly: true}
      name: {type: string, maxLength: 5}
      chip: {type: string, x-nullable: true}
      mother: {$ref: "#/definitions/Dog"}
paths:
  /dogs:
    get:
      operationId: listDogs
      parameters:
        - {$ref: "#/parameters/Page"}
        - {name: state, in: query, type: array, items: {type: string, enum: [in, out]}, collectionFormat: multi}
        - {name: ids, in: query, type: array, items: {type: integer}}
        - {name: tags, in: query, type: array, items: {type: string}, collectionFormat: pipes}
        - {name: X-Trace, in: header, type: array, items: {type: string}}
      responses: {200: {description: Dogs., schema: {type: array, items: {$ref: "#/definitions/Dog"}}}, 404: {$ref: "#/responses/Gone"}}
    post:
      operationId: addDog
      parameters: [{$ref: "#/parameters/Dog"}]
      responses: {201: {description: Added.}}
  /dogs/{id}:
    parameters: [{name: id, in: path, required: true, type: string}]
    delete: {operationId: dropDog, security: [{Login: []}], responses: {204: {description: Gone.}}}
    patch:
      operationId: walkDog
      security: [{Code: []}]
      consumes: [application/merge-patch+json, application/json]
      parameters: [{name: change, in: body, schema: {type: object, required: [km], properties: {km: {type: number}}}}]
      responses: {200: {description: Walked.}}
    put:
      operationId: formDog
      consumes: [application/x-www-form-urlencoded]
      parameters:
        - {name: name, in: formData, type: string, required: true}
        - {name: toys, in: formData, type: array, items: {type: string}}
        - {name: foods, in: formData, type: array, items: {type: string}, collectionFormat: multi}
      responses: {200: {description: Done.}}
  /dogs/{id}/photo:
    parameters:
      - {name: id, in: path, required: true, type: string}
      - {name: note, in: formData, type: string}
    post:
      operationId: addPhoto
      security: [{Sign: [r]}]
      parameters: [{name: photo, in: formData, type: file, required: true}]
      responses: {200: {description: Done.}}
  /me:
    get: {operationId: whoAmI, security: [{Person: []}], responses: {200: {description: You.}}}
"""
SECRETS = Secrets(
    {
        "KENNEL_KEY": "k",
        "KENNEL_LOGIN_USER": "u",
        "KENNEL_LOGIN_PASSWORD": "p",
        "KENNEL_SIGN_CLIENT_ID": "i",
        "KENNEL_SIGN_CLIENT_SECRET": "s",
        "KENNEL_CODE_CLIENT_ID": "i",
        "KENNEL_CODE_CLIENT_SECRET": "s",
        "KENNEL_CODE_REFRESH_TOKEN": "r",
    }
)


def bring(raw: str = PETS, source: str = "", **wish: Any) -> Import:
    return import_document(foreign.parse(raw.encode()), source, Wish("kennel", **wish))


def sent(name: str, arguments: dict[str, Any]) -> Prepared:
    (tool,) = (tool for tool in bring().tools if tool.name == f"kennel_{name}")
    assert tool.problem_with(arguments) is None, tool.problem_with(arguments)
    return prepare(tool, arguments, SECRETS)


def problem(name: str, arguments: dict[str, Any]) -> Any:
    (tool,) = (tool for tool in bring().tools if tool.name == f"kennel_{name}")
    return tool.problem_with(arguments)


def test_its_operations_become_tools_and_what_needs_a_person_is_named() -> None:
    made = bring()
    assert {tool.name.removeprefix("kennel_"): tool.effect for tool in made.tools} == {
        "listDogs": "read",
        "addDog": "once",
        "dropDog": "idempotent",
        "walkDog": "once",
        "formDog": "idempotent",
        "addPhoto": "once",
    }
    assert [(skipped.path, "implicit" in skipped.reason) for skipped in made.skipped] == [("/me", True)]
    assert made.document["info"]["x-viox"]["hosts"] == ["kennel.example"]
    assert {tool.accept for tool in made.tools if tool.name == "kennel_listDogs"} == {"application/json"}


def test_lists_are_written_as_its_collection_formats_say() -> None:
    made = sent(
        "listDogs", {"page": 2, "state": ["in", "out"], "ids": [1, 2], "tags": ["a", "b"], "X-Trace": ["x", "y"]}
    )
    assert made.url == "https://kennel.example/v2/dogs?page=2&state=in&state=out&ids=1%2C2&tags=a%7Cb"
    assert ("X-Trace", "x,y") in made.headers
    assert problem("listDogs", {"page": 0})
    assert problem("listDogs", {"state": ["gone"]})


def test_a_body_is_checked_by_its_definition() -> None:
    assert sent("addDog", {"name": "Rex", "chip": None}).body == b'{"name":"Rex","chip":null}'
    assert problem("addDog", {})
    assert problem("addDog", {"name": "Rex", "mother": {"name": "too long"}})


def test_the_media_type_is_the_one_for_plain_values() -> None:
    made = sent("walkDog", {"id": "1", "km": 2.5})
    assert ("Content-Type", "application/json") in made.headers


def test_form_data_is_a_form() -> None:
    assert sent("formDog", {"id": "1", "name": "Rex", "toys": ["a", "b"], "foods": ["c", "d"]}).body == (
        b"name=Rex&toys=a%2Cb&foods=c&foods=d"
    )
    assert problem("formDog", {"id": "1"})


def test_a_file_is_a_part_of_multipart() -> None:
    made = sent("addPhoto", {"id": "1", "note": "n", "photo": {"filename": "a.png", "base64": "aGk="}})
    assert b'name="photo"; filename="a.png"' in made.body
    assert b'name="note"\r\n\r\nn' in made.body


async def test_its_credentials_are_used() -> None:
    async def token(_: Any) -> str:
        return "t"

    for name, arguments, header in (
        ("addDog", {"name": "Rex"}, ("X-Key", "k")),
        ("dropDog", {"id": "1"}, ("Authorization", "Basic dTpw")),
        ("walkDog", {"id": "1", "km": 1}, ("Authorization", "Bearer t")),
        ("addPhoto", {"id": "1", "photo": {"filename": "a", "text": "b"}}, ("Authorization", "Bearer t")),
    ):
        assert header in (await apply_credentials(sent(name, arguments), SECRETS, token, Redactions()))[1]


@pytest.mark.parametrize(
    ("replaced", "source", "url"),
    [
        ({"host": None}, "https://docs.example/swagger.json", "https://docs.example/v2/dogs"),
        ({"host": None}, "", "https://own.example/v2/dogs"),
        ({"basePath": "/"}, "", "https://kennel.example/dogs"),
        ({"basePath": None}, "", "https://kennel.example/dogs"),
        ({"schemes": ["http"]}, "", "http://kennel.example/v2/dogs"),
        ({"schemes": None}, "", "https://kennel.example/v2/dogs"),
        ({"host": "kennel.example:8443"}, "", "https://kennel.example:8443/v2/dogs"),
    ],
)
def test_host_and_base_path_are_the_server(replaced: dict[str, Any], source: str, url: str) -> None:
    given = yaml.safe_load(PETS)
    given |= replaced
    raw = yaml.safe_dump({key: value for key, value in given.items() if value is not None})
    (tool,) = (tool for tool in bring(raw, source).tools if tool.name == "kennel_listDogs")
    settings = {"KENNEL_KEY": "k"} | ({"KENNEL_BASE_URL": "https://own.example"} if "own" in url else {})
    assert prepare(tool, {}, Secrets(settings)).url == url


def test_an_overlay_sees_the_converted_document() -> None:
    scheme = {"target": "$.components.securitySchemes", "update": {"Person": {"type": "http", "scheme": "bearer"}}}
    gone = {"target": "$.components.securitySchemes.Person.flows", "remove": True}
    made = bring(overlay={"overlay": "1.0.0", "actions": [scheme, gone]})
    assert made.skipped == []


@pytest.mark.parametrize("part", ["paths", "definitions", "parameters", "responses", "securityDefinitions", "host"])
@pytest.mark.parametrize(
    "odd", [None, [], "x", {"/a": None}, {"/a": {"get": None}}, {"/a": {"post": {"parameters": {}}}}]
)
def test_what_is_not_what_it_should_be_is_refused_in_words(part: str, odd: Any) -> None:
    given = yaml.safe_load(PETS) | {part: odd}
    with contextlib.suppress(BadInput):  # any other error would be a traceback
        bring(yaml.safe_dump(given))


def test_its_forerunners_are_refused_by_version() -> None:
    with pytest.raises(BadInput, match=r"swagger is '1\.2'"):
        foreign.parse(b"swagger: '1.2'\ninfo: {}\npaths: {}")
