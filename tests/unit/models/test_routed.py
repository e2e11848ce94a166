"""A model of its own for a question."""

from __future__ import annotations

import pytest

from shared.models.port import AssistantMessage, ChatReply, ChatRequest, ModelError
from shared.models.routed import RoutedModel


class Named:
    """Answers with its name, or fails."""

    provider = "p"

    def __init__(self, model: str, *, fails: bool = False) -> None:
        self.model = model
        self.closed = 0
        self._fails = fails
        self.asked: list[str] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.asked.append(request.model)
        if self._fails:
            raise ModelError("model.unavailable", "no", retryable=True)
        return ChatReply(AssistantMessage(self.model), "end", request.model, self.model)

    async def aclose(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("asked", "fails", "answers"), [("p/cheap", False, "cheap"), ("p/cheap", True, "own"), ("x", False, "own")]
)
async def test_the_named_model_is_asked_and_the_own_one_stands_in(asked: str, fails: bool, answers: str) -> None:
    own, cheap = Named("own"), Named("cheap", fails=fails)
    model = RoutedModel(own, {"p/cheap": cheap})
    assert (await model.complete(ChatRequest(asked, "", ()))).message.text == answers
    assert set(own.asked) <= {"own"}, "each model is asked under its own name"
    await model.aclose()
    assert (own.closed, cheap.closed) == (1, 1)


async def test_a_model_that_is_wished_for_by_name_is_asked_alone() -> None:
    own, wished = Named("own"), Named("wished", fails=True)
    made: list[str] = []

    def make(name: str) -> Named | None:
        made.append(name)
        return wished if "/" in name else None

    model = RoutedModel(own, {}, make)
    for _ in range(2):
        with pytest.raises(ModelError):
            await model.complete(ChatRequest("p/wished", "", ()))
    assert (made, own.asked, wished.asked) == (["p/wished"], [], ["wished", "wished"])
    await model.aclose()
    assert wished.closed == 1
