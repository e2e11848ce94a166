"""A model and what stands in for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from shared.models.failover import FailoverModel, LazyModel
from shared.models.port import AssistantMessage, ChatReply, ChatRequest, ModelError


class Failing:
    """A model that only fails."""

    provider = "p"

    def __init__(self, model: str, *, retryable: bool) -> None:
        self.model = model
        self._retryable = retryable

    async def complete(self, request: ChatRequest) -> ChatReply:
        raise ModelError(f"model.{request.model}", "no", retryable=self._retryable)

    async def aclose(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("retryable", "raised"), [((False, True), "model.1"), ((False, False), "model.0"), ((True, True), "model.0")]
)
async def test_what_no_model_answers_raises_the_first_error_that_trying_again_can_help(
    retryable: tuple[bool, ...], raised: str
) -> None:
    model = FailoverModel([Failing(str(n), retryable=each) for n, each in enumerate(retryable)])
    with pytest.raises(ModelError) as found:
        await model.complete(ChatRequest("0", "", ()))
    assert found.value.code == raised


class Counting:
    """Answers, or fails with a code, and counts how often it was asked."""

    provider = "p"

    def __init__(self, model: str, code: str | None = None) -> None:
        self.model = model
        self.code = code
        self.asked = 0
        self.closed = False

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.asked += 1
        if self.code:
            raise ModelError(self.code, "no", retryable=self.code != "model.bad_request")
        return ChatReply(AssistantMessage("ok"), "end", request.model, self.model)

    async def aclose(self) -> None:
        self.closed = True


ASK = ChatRequest("a", "", ())


async def test_a_model_that_cannot_answer_for_a_while_is_passed_over_and_asked_again_later() -> None:
    now = [100.0]
    first, second = Counting("a", "model.no_credit"), Counting("b")
    model = FailoverModel([first, second], clock=lambda: now[0])
    for _ in range(3):
        assert (await model.complete(ASK)).answering_model == "b"
    assert (first.asked, second.asked) == (1, 3)
    now[0] += 61
    first.code = None
    assert (await model.complete(ASK)).answering_model == "a"


async def test_an_error_of_one_request_gives_the_model_no_rest() -> None:
    first = Counting("a", "model.bad_request")
    model = FailoverModel([first, Counting("b")])
    await model.complete(ASK)
    await model.complete(ASK)
    assert first.asked == 2


async def test_models_that_rest_are_asked_when_no_other_is_left() -> None:
    both = [Counting("a", "model.no_credit"), Counting("b", "model.unavailable")]
    model = FailoverModel(both, clock=lambda: 0.0)
    for _ in range(2):
        with pytest.raises(ModelError):
            await model.complete(ASK)
    assert [each.asked for each in both] == [2, 2]


@pytest.mark.parametrize(
    ("tries", "answers", "left"), [(0, "a", True), (1, "a", True), (2, "b", True), (3, "c", False), (9, "c", False)]
)
async def test_after_two_turns_of_no_use_the_models_behind_are_asked(tries: int, answers: str, left: bool) -> None:
    model = FailoverModel([Counting("a"), Counting("b"), Counting("c")])
    reply = await model.complete(replace(ASK, tries=tries))
    assert (reply.answering_model, reply.has_fallback) == (answers, left)


async def test_a_stand_in_is_built_when_it_is_needed_and_once() -> None:
    built: list[Counting] = []

    def build() -> Counting:
        built.append(Counting("b"))
        return built[-1]

    lazy = LazyModel("p", "b", build)
    await FailoverModel([Counting("a"), lazy]).complete(ASK)
    await lazy.aclose()
    assert built == []
    await asyncio.gather(lazy.complete(ASK), lazy.complete(ASK))
    await lazy.aclose()
    assert [(each.asked, each.closed) for each in built] == [(2, True)]


@pytest.mark.parametrize(
    ("codes", "made"),
    [
        (("model.rate_limited", "model.no_credit"), False),
        (("model.rate_limited", "model.unavailable"), True),
        (("model.unavailable", "model.bad_request"), True),
    ],
)
async def test_an_error_says_whether_any_model_may_have_done_the_work(codes: tuple[str, ...], made: bool) -> None:
    model = FailoverModel([Counting(str(n), code) for n, code in enumerate(codes)])
    with pytest.raises(ModelError) as raised:
        await model.complete(ASK)
    assert raised.value.may_have_been_made is made
