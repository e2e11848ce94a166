"""People add documents, see what is remembered and have it forgotten in their own name."""

# ruff: noqa: S608  # what statements are made of comes from lists below
from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from services.tool_gateway.connectors.memory import Memory
from services.tool_gateway.memory import local
from services.tool_gateway.memory.index import Index
from services.tool_gateway.wire.prepared import Prepared
from shared.errors import BadInput, NotFound
from shared.store.pool import Pool
from viox import erasing, knowledge, memory

PEOPLE = "people:\n  - {name: Dana, roles: [owner]}\n  - {name: Vic, roles: [viewer]}\n"
ANA = "person:ana@example.com"
RETURNS = "# Returns\n\nThirty days, unused, with the receipt.\n\n## Refunds\n\nPaid back within five working days.\n"


@pytest.fixture(autouse=True)
def people(operator_pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "people.yaml").write_text(PEOPLE)
    monkeypatch.setenv("VIOX_PEOPLE", str(tmp_path / "people.yaml"))


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    (folder / "inner").mkdir(parents=True)
    (folder / "returns.md").write_text(RETURNS)
    (folder / "inner" / "hours.html").write_text(
        "<html><head><title>Opening hours</title><style>p{}</style></head>"
        "<body><nav>Home</nav><h2>Shop</h2><p>Monday to Friday,<br>8 to 17.</p></body></html>"
    )
    (folder / "prices.pdf").write_bytes(b"%PDF-1.7 \x00")
    (folder / ".hidden.md").write_text("not me")
    (folder / "outside.txt").symlink_to(tmp_path / "people.yaml")
    return folder


async def printed(capsys: pytest.CaptureFixture[str], work: Any) -> Any:
    capsys.readouterr()
    await work
    return orjson.loads(capsys.readouterr().out)


async def added(capsys: pytest.CaptureFixture[str], path: Path) -> dict[str, str]:
    told = await printed(capsys, knowledge.add(path, "Dana", as_json=True))
    return {item["name"]: item["state"] for item in told["items"]}


class Gateway:
    """The gateway's part in memory, alone."""

    def __init__(self, pool: Pool) -> None:
        embeddings = local.opened("wordllama")
        self.index, self._memory = Index(pool, embeddings), Memory(pool, embeddings)

    async def __call__(self, work: str, **given: Any) -> Any:
        body = orjson.dumps(given | {"call_id": "c9a2f6a0-0000-5000-8000-000000000001.1.0"})
        answer = await self._memory.send(Prepared("SQL", f"memory:/{work}", [], body), 5.0, _open)
        return orjson.loads(answer.body)


async def _open() -> None:
    """A gate that lets everything through."""


async def test_a_folder_becomes_knowledge_that_is_searched_with_its_place(
    capsys: pytest.CaptureFixture[str], gateway_pool: Pool, handbook: Path
) -> None:
    told = await printed(capsys, knowledge.add(handbook, "Dana", as_json=True))
    states = {item["name"]: item["state"] for item in told["items"]}
    assert states == {
        "handbook/returns.md": "added",
        "handbook/inner/hours.html": "added",
        "handbook/prices.pdf": "refused",
    }
    assert "order of reading" in next(item["reason"] for item in told["items"] if item["state"] == "refused")
    (before,) = (await printed(capsys, knowledge.show(1, None, as_json=True)))["items"]
    assert before["embedded"] == 0
    gateway = Gateway(gateway_pool)
    await gateway.index.catch_up()
    found = await gateway("search", question="When do I get my money back?")
    assert found["items"][0]["source"] == {
        "document": "handbook/returns.md",
        "title": "Returns",
        "place": "Returns > Refunds",
    }
    assert found["items"][0]["text"] == "Paid back within five working days."
    assert not found["from_outside"]
    hours = (await gateway("search", question="Which hours is the shop open on Monday?"))["items"][0]
    assert (hours["source"]["title"], hours["text"]) == ("Opening hours", "Monday to Friday,\n8 to 17.")


async def test_documents_are_listed_page_by_page(
    capsys: pytest.CaptureFixture[str], gateway_pool: Pool, handbook: Path
) -> None:
    await added(capsys, handbook)
    await Gateway(gateway_pool).index.catch_up()
    first = await printed(capsys, knowledge.show(1, None, as_json=True))
    second = await printed(capsys, knowledge.show(1, first["next"], as_json=True))
    items = {item["name"]: item for item in (*first["items"], *second["items"])}
    assert (second["next"], sorted(items)) == (None, ["handbook/inner/hours.html", "handbook/returns.md"])
    returns = items["handbook/returns.md"]
    assert (returns["pieces"], returns["embedded"], returns["added_by"], returns["bytes"]) == (
        2,
        2,
        "Dana",
        len(RETURNS),
    )


async def test_adding_a_changed_file_replaces_its_pieces(
    capsys: pytest.CaptureFixture[str], gateway_pool: Pool, admin: Any, handbook: Path
) -> None:
    await added(capsys, handbook)
    assert (await added(capsys, handbook))["handbook/returns.md"] == "unchanged"
    (handbook / "returns.md").write_text("# Returns\n\nFourteen days.\n")
    (handbook / "inner" / "hours.html").unlink()
    capsys.readouterr()
    await knowledge.add(handbook, "Lee", as_json=False)
    told = capsys.readouterr()
    assert "replaced" in told.out
    assert "handbook/inner/hours.html is not in the folder any more" in told.err
    gateway = Gateway(gateway_pool)
    await gateway.index.catch_up()
    assert [i["text"] for i in (await gateway("search", question="returns receipt refunds"))["items"]] == [
        "Fourteen days."
    ]
    assert await admin.fetchval("select count(*) from passages where model is null") == 0


async def test_removed_documents_are_not_found_any_more(
    capsys: pytest.CaptureFixture[str], gateway_pool: Pool, admin: Any, handbook: Path
) -> None:
    await added(capsys, handbook)
    await knowledge.remove("handbook/returns.md", "Lee", as_json=True)
    assert (await Gateway(gateway_pool)("search", question="returns receipt"))["items"] == []
    assert (await printed(capsys, knowledge.remove("handbook/", "Lee", as_json=True)))["removed"] == [
        "handbook/inner/hours.html"
    ]
    assert await admin.fetchval("select count(*) from passages") == 0
    noted = await admin.fetch("select kind, about, by from forgettings order by forgetting_id")
    assert [tuple(row) for row in noted] == [
        ("document", "handbook/returns.md", "Lee"),
        ("document", "handbook/inner/hours.html", "Lee"),
    ]
    with pytest.raises(NotFound, match="no document"):
        await knowledge.remove("handbook/returns.md", "Lee", as_json=True)


@pytest.mark.parametrize(
    ("name", "raw", "why"),
    [
        ("a.docx", b"PK\x03\x04", "save it as HTML or text"),
        ("a.txt", b"\x00\x01\x02\x03", "it is no text"),
        ("a.txt", b"%PDF-1.4\n1 0 obj", "it is no text"),
        ("a.md", b"  \n", "there is no text in it"),
        ("a.csv", b"a,b\n", "a table"),
        ("a", b"x", "without a suffix"),
        ("a.txt", b"x" * 5_000_001, "larger than 5,000,000 bytes"),
    ],
)
async def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, admin: Any, name: str, raw: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(BadInput) as refused:
        await knowledge.add(tmp_path / name, "Dana", as_json=True)
    assert why in refused.value.message
    assert refused.value.field == "PATH"
    assert await admin.fetchval("select count(*) from knowledge") == 0


async def test_a_path_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no"):
        await knowledge.add(tmp_path / "none", "Dana", as_json=True)


async def remembered(pool: Pool, *texts: str) -> list[str]:
    facts = [{"text": text} for text in texts]
    return [one["id"] for one in (await Gateway(pool)("remember", entity=ANA, facts=facts))["facts"]]


async def test_what_is_remembered_is_shown_with_its_source(
    capsys: pytest.CaptureFixture[str], gateway_pool: Pool, admin: Any
) -> None:
    await remembered(gateway_pool, "Likes blue", "Has two boilers")
    await admin.execute("insert into notes (note_id, entity, text) values ('n1', $1, 'An old note')", ANA.upper())
    told = await printed(capsys, memory.show("Person: ana@example.com", 2, None, as_json=True))
    rest = await printed(capsys, memory.show(ANA, 2, told["next"], as_json=True))
    items = [*told["items"], *rest["items"]]
    assert sorted(item["text"] for item in items) == ["An old note", "Has two boilers", "Likes blue"]
    fact = next(item for item in items if item["text"] == "Likes blue")
    assert fact["source"]["run_id"] == "c9a2f6a0-0000-5000-8000-000000000001"
    assert fact["from_outside"] is True, "nobody knows the run that wrote it"


async def test_a_person_has_a_fact_forgotten(
    capsys: pytest.CaptureFixture[str], gateway_pool: Pool, admin: Any
) -> None:
    first, second = await remembered(gateway_pool, "Likes blue", "Has two boilers")
    told = await printed(capsys, memory.forget(ANA, [first], "dana", "wrong", as_json=True))
    assert told == {
        "entity": ANA,
        "forgotten": [{"kind": "fact", "id": first}],
        "by": "Dana",
        "reason": "wrong",
        "left": [],
    }
    shown = await printed(capsys, memory.show(ANA, 9, None, as_json=True))
    assert [item["id"] for item in shown["items"]] == [second]
    assert [(one["id"], one["by"], one["reason"]) for one in shown["forgotten"]] == [(first, "Dana", "wrong")]
    assert await admin.fetchval("select count(*) from passages") == 1


@pytest.mark.parametrize("word", ["all", "--all"])
async def test_everything_about_somebody_is_forgotten(gateway_pool: Pool, admin: Any, word: str) -> None:
    await remembered(gateway_pool, "Likes blue", "Has two boilers")
    await admin.execute("insert into notes (note_id, entity, text) values ('n1', $1, 'An old note')", ANA)
    await Gateway(gateway_pool).index.catch_up()
    await memory.forget(ANA, [word], None, None, as_json=True)
    for table in ("facts", "notes", "passages"):
        assert await admin.fetchval(f"select count(*) from {table}") == 0, table
    assert await admin.fetchval("select count(*) from forgettings where by = 'Dana'") == 3


@pytest.mark.parametrize(
    ("entity", "ids", "by", "kind", "field"),
    [
        ("ana", ["all"], "Dana", BadInput, "ENTITY"),
        (ANA, ["all", "x"], "Dana", BadInput, "--forget"),
        (ANA, ["all"], "Vic", BadInput, "--by"),
        (ANA, ["fact_unknown"], "Dana", NotFound, "--forget"),
        ("person:nobody", ["all"], "Dana", NotFound, "ENTITY"),
    ],
)
async def test_forgetting_what_cannot_be_says_why_and_forgets_nothing(
    gateway_pool: Pool, admin: Any, entity: str, ids: list[str], by: str, kind: type[Exception], field: str
) -> None:
    (known,) = await remembered(gateway_pool, "Likes blue")
    with pytest.raises(kind) as refused:
        await memory.forget(entity, [known, *ids] if ids == ["fact_unknown"] else ids, by, None, as_json=True)
    assert getattr(refused.value, "field", None) == field
    assert await admin.fetchval("select count(*) from facts") == 1


NUMBER = "phone:+14155550123"


async def of_number(admin: Any) -> None:
    await admin.execute(
        "insert into facts (fact_id, entity, text, confidence, tainted, source_call, agent)"
        " values ('fact_n', $1, 'Rings at noon', 1, false, 'c', 'voice')",
        NUMBER,
    )


async def test_a_person_says_who_is_the_same_and_who_is_not(
    capsys: pytest.CaptureFixture[str], gateway_pool: Pool, admin: Any
) -> None:
    await remembered(gateway_pool, "Likes blue")
    await of_number(admin)
    told = await printed(
        capsys, memory.say(ANA, "Phone: +1 415 555 0123", "confirmed", "dana", "told me", as_json=True)
    )
    assert (told["link"]["state"], told["link"]["said_by"], told["link"]["entity"]) == ("confirmed", "Dana", NUMBER)
    assert told["same_person"] == [{"entity": NUMBER, "state": "confirmed", "remembered": 1}]
    await memory.show(ANA, 9, None, as_json=False)
    shown = capsys.readouterr()
    assert f"same person: {NUMBER} (1 entry; a person's word, Dana, " in shown.out + shown.err
    assert "): told me" in shown.out + shown.err
    told = await printed(capsys, memory.say(ANA, NUMBER, "denied", "dana", "a mistake", as_json=True))
    assert (told["link"]["state"], told["same_person"]) == ("denied", [])
    await memory.show(ANA, 9, None, as_json=False)
    shown = capsys.readouterr()
    assert f"not the same person: {NUMBER}, by Dana: a mistake" in shown.out + shown.err


@pytest.mark.parametrize(
    ("other", "by", "reason", "field"),
    [
        (NUMBER, "Vic", "x", "--by"),
        (NUMBER, "Dana", " ", "--reason"),
        ("Person: Ana@Example.com", "Dana", "x", "OTHER"),
        ("ana", "Dana", "x", "ENTITY"),
    ],
)
async def test_a_word_that_cannot_be_says_why_and_links_nobody(
    gateway_pool: Pool, admin: Any, other: str, by: str, reason: str, field: str
) -> None:
    with pytest.raises(BadInput) as refused:
        await memory.say(ANA, other, "confirmed", by, reason, as_json=True)
    assert refused.value.field == field
    assert await admin.fetchval("select count(*) from person_links") == 0


@pytest.mark.parametrize("with_linked", [False, True])
async def test_forgetting_names_who_else_it_is_and_takes_them_along_when_asked(
    capsys: pytest.CaptureFixture[str], gateway_pool: Pool, admin: Any, *, with_linked: bool
) -> None:
    await remembered(gateway_pool, "Likes blue")
    await of_number(admin)
    await memory.say(ANA, NUMBER, "confirmed", "Dana", "told me", as_json=True)
    await admin.execute(
        "insert into person_links (entity, other, state, basis, tainted, said_by, is_person, source_call)"
        " values ($1, 'phone:+14155550666', 'claimed', 'a lead gave both', true, 'closer', false, 'c')",
        ANA,
    )
    capsys.readouterr()
    told = await printed(capsys, memory.forget(ANA, ["all"], "dana", "asked", with_linked=with_linked, as_json=True))
    claimed = {"entity": "phone:+14155550666", "state": "claimed", "remembered": 0}
    confirmed = {"entity": NUMBER, "state": "confirmed", "remembered": 1}
    assert told["left"] == ([claimed] if with_linked else [confirmed, claimed])
    assert await admin.fetchval("select count(*) from facts") == (0 if with_linked else 1)
    assert await admin.fetchval("select count(*) from person_links") == 0
    assert sorted(one["kind"] for one in told["forgotten"]) == ["fact"] * (1 + with_linked) + ["link"] * 2


@pytest.mark.parametrize("with_linked", [False, True])
async def test_erasing_counts_who_else_it_is_and_takes_them_along_when_asked(
    capsys: pytest.CaptureFixture[str], gateway_pool: Pool, admin: Any, *, with_linked: bool
) -> None:
    await remembered(gateway_pool, "Likes blue")
    await of_number(admin)
    await memory.say(ANA, NUMBER, "confirmed", "Dana", "told me", as_json=True)
    capsys.readouterr()
    told = await printed(
        capsys, erasing.erase(ANA, "asked for", "Dana", with_linked=with_linked, yes=False, as_json=True)
    )
    assert (told["found"]["facts"], told["found"]["links"]) == (1, 1)
    assert {name: one["facts"] for name, one in told["with_linked"].items()} == ({NUMBER: 1} if with_linked else {})
    assert [one["entity"] for one in told["left"]] == ([] if with_linked else [NUMBER])
    assert await admin.fetchval("select count(*) from facts") == 2, "it was only counted"
    await erasing.erase(ANA, "asked for", "Dana", with_linked=with_linked, yes=True, as_json=False)
    shown = capsys.readouterr()
    assert (f"left: {NUMBER}, confirmed to be the same person (1 entry)" in shown.out + shown.err) is not with_linked
    assert await admin.fetchval("select count(*) from facts") == (0 if with_linked else 1)
    assert await admin.fetchval("select count(*) from person_links") == 0


async def test_the_reason_of_an_erasure_names_none_of_those_who_are_erased(gateway_pool: Pool) -> None:
    await memory.say(ANA, NUMBER, "confirmed", "Dana", "told me", as_json=True)
    with pytest.raises(BadInput, match="names whom"):
        await erasing.erase(ANA, "the one of +14155550123", "Dana", with_linked=True, yes=True, as_json=True)


async def test_an_operator_writes_documents_and_nothing_else(operator_pool: Pool, gateway_pool: Pool) -> None:
    (known,) = await remembered(gateway_pool, "Likes blue")
    for statement in (
        "insert into facts (fact_id, entity, text, confidence, tainted, source_call, agent) values ('f', 'a:b', 't', 1, false, 'c', 'x')",
        "delete from facts",
        f"insert into passages (fact_id, text) values ('{known}', 'x')",
        "update passages set text = 'x'",
        "insert into person_links (entity, other, state, basis, tainted, said_by, is_person) values ('a:b', 'c:d', 'confirmed', '', false, 'Dana', true)",
        "update person_links set ended_by = 'x'",
        "delete from person_links",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await operator_pool.execute(statement)
    assert await operator_pool.execute("delete from passages") == "DELETE 0"
