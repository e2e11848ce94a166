"""A model and what stands in for it."""

from __future__ import annotations

import pytest

from shared.models.failover import FailoverModel
from shared.models.port import ChatReply, ChatRequest, ModelError


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
