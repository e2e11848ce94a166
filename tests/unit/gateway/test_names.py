"""Names in any script become names that providers and shells take, and stay apart."""

from __future__ import annotations

import re

import pytest

from services.tool_gateway.catalogue import naming
from tests.unit.gateway.test_importer import bring, document, get, one


def test_operations_in_other_scripts_are_named_by_method_and_path() -> None:
    paths = {
        "orders": {"get": {"operationId": "列出"}, "post": {"operationId": "Создать"}},
        "a/{id}": get(operationId="Λίστα"),
    }
    paths["a/{id}"]["get"]["parameters"] = [{"name": "id", "in": "path", "schema": {"type": "string"}}]
    names = [tool.name for tool in bring(document(**paths)).tools]
    assert names == ["shop_get_orders", "shop_post_orders", "shop_get_a_id"]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("getÜbersicht", "shop_getUbersicht"),
        ("Größe ändern", "shop_Grosse_andern"),
        ("cafe\u0301", "shop_cafe"),
        ("Łódź", "shop_Lodz"),
        ("get-thing.v2", "shop_get-thing_v2"),
        ("ＬＩＳＴ", "shop_LIST"),
        ("获取User", "shop_get_things"),
        ("🎉", "shop_get_things"),
        ("___", "shop_get_things"),
    ],
)
def test_latin_letters_keep_their_names(wanted: str, name: str) -> None:
    assert one(document(things=get(operationId=wanted))).name == name


def test_names_that_come_to_the_same_stay_apart() -> None:
    made = bring(document(заказ=get(operationId="一"), товар=get(operationId="二"), x=get(operationId="三")))
    names = [tool.name for tool in made.tools]
    assert made.skipped == []
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"shop_[a-zA-Z0-9_-]{1,59}", name) for name in names)


def test_a_names_choice_is_the_same_at_every_import() -> None:
    given = document(заказ=get(operationId="一"))
    assert one(given).name == one(given).name


def test_the_effect_is_chosen_by_the_name_that_the_document_has() -> None:
    assert one(document(things={"post": {"operationId": "搜索"}}), effects={"搜索": "read"}).effect == "read"


def test_arguments_in_other_scripts_stay_apart_and_say_their_names() -> None:
    given = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in ("城市", "日期", "größe")]
    tool = one(document(things=get(parameters=given)))
    properties = tool.model_schema["properties"]
    assert len(properties) == 3
    assert all(re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", name) for name in properties)
    assert [about.get("description") for about in properties.values()] == ["城市", "日期", None]


@pytest.mark.parametrize(("name", "word"), [("API Key", "API_KEY"), ("café", "CAFE"), ("x-token", "X_TOKEN")])
def test_settings_are_named_in_letters_of_a_shell(name: str, word: str) -> None:
    assert naming.setting_word(name) == word


def test_settings_in_other_scripts_stay_apart() -> None:
    made = {naming.setting_word(name) for name in ("ключ", "密钥", "ключ2")}
    assert len(made) == 3
    assert all(re.fullmatch(r"[A-Z0-9_]+", word) for word in made)
