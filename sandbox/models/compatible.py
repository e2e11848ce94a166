"""Where Gemini's compatible endpoint and Mistral differ from OpenAI: rules, errors, and what is beside the text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from sandbox.models.chat import MESSAGE_KEYS, PARAMETERS, ChatWire
from sandbox.models.ids import signature
from sandbox.models.turns import Call, Refused, Turn, bad_request, words

FOREIGN_SIGNATURE = "skip_thought_signature_validator"  # documented for histories of other models
GEMINI_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,63}")
GEMINI_STATUS = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")
MISTRAL_PARAMETERS = words(
    "messages model max_tokens temperature top_p stream stop random_seed response_format tools tool_choice presence_penalty "
    "frequency_penalty n prediction parallel_tool_calls prompt_mode reasoning_effort safe_prompt metadata"
)


class GeminiWire(ChatWire):
    """Google's endpoint under /v1beta/openai."""

    provider = "gemini"
    parameters = PARAMETERS | {"extra_body"}

    def unauthorized(self, given: str) -> Refused:
        return Refused(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.")

    def no_model(self, model: Any) -> Refused:
        told = f"models/{model} is not found for API version v1main, or is not supported for generateContent."
        return Refused(404, "NOT_FOUND", told)

    def known(self, given: Mapping[str, Any], known: set[str], where: str) -> None:
        if strange := sorted(given.keys() - known):
            at = f" at '{where.rstrip('.')}'" if where else ""
            raise bad_request(f'Invalid JSON payload received. Unknown name "{strange[0]}"{at}: Cannot find field.')

    def message_keys(self, role: str) -> set[str]:
        return MESSAGE_KEYS[role] | ({"extra_content"} if role == "assistant" else set())

    def tool_call_keys(self) -> set[str]:
        return super().tool_call_keys() | {"extra_content"}

    def effort(self, body: Mapping[str, Any]) -> None:
        if body.get("reasoning_effort") not in (None, "none", "minimal", "low", "medium", "high"):
            raise bad_request("Invalid reasoning_effort.")

    def max_tokens(self, body: Mapping[str, Any]) -> int:
        return self.limit(body, "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens")

    def name(self, given: Any, where: str) -> None:
        if not isinstance(given, str) or not GEMINI_NAME.fullmatch(given):
            raise bad_request(
                f"Invalid function name at {where}. Must start with a letter or an underscore. Must be alphameric (a-z, A-Z, "
                "0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64."
            )

    def description(self, given: Any, place: int) -> None:
        """Any length."""

    def signed(self, calls: Sequence[Mapping[str, Any]], place: int) -> None:
        """The first call of a turn carries what the model signed; the others what they were given."""
        for number, call in enumerate(calls):
            google = (call.get("extra_content") or {}).get("google") or {}
            given = google.get("thought_signature")
            if given is None and number == 0:
                name = (call.get("function") or {}).get("name")
                raise bad_request(
                    f"Function call is missing a thought_signature in functionCall parts. This is required for tools to work "
                    f"correctly, and missing thought_signature may lead to degraded model performance. Additional data, function "
                    f"call `default_api:{name}` , position {place}."
                )
            if given is not None and given not in (_signature(call), FOREIGN_SIGNATURE):
                raise bad_request("Thought signature is not valid.")

    def after(self, before: str, role: str, place: int) -> None:
        if role == "assistant" and before not in ("user", "tool", "assistant"):
            raise bad_request(
                "Please ensure that function call turn comes immediately after a user turn or after a function response turn."
            )

    def call(self, call: Call, number: int) -> dict[str, Any]:
        made = super().call(call, number)
        if number:
            return made
        return made | {"extra_content": {"google": {"thought_signature": _signature(made)}}}

    def new_call_id(self) -> str:
        return self.ids.gemini_call()

    def answering(self, model: str) -> str:
        return model

    def refusal(self, turn: Turn) -> dict[str, Any]:
        return {}

    def finish(self, turn: Turn) -> str:
        told = {"refusal": "content_filter", "malformed": "function_call_filter: MALFORMED_FUNCTION_CALL"}
        return told.get(turn.stop) or super().finish(turn)

    def usage(self, prompt: int, output: int) -> dict[str, Any]:
        """What was thought is in the total only."""
        return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + 2 * output}

    def extras(self) -> dict[str, Any]:
        return {}

    def headers(self) -> dict[str, str]:
        return {"server-timing": "gfet4t7; dur=412", "x-gemini-service-tier": "standard"}

    def error(self, refused: Refused) -> web.Response:
        """Google's error, in a list."""
        told = {
            "code": refused.status,
            "message": refused.message,
            "status": GEMINI_STATUS.get(refused.status, "UNKNOWN"),
        }
        return web.json_response([{"error": told}], status=refused.status, headers=self.headers())

    def too_long(self, size: int, window: int) -> Refused:
        return bad_request(f"The input token count ({size}) exceeds the maximum number of tokens allowed ({window}).")

    def fault(self, status: int) -> Refused:
        status = 503 if status == 529 else status
        told = {
            429: "You exceeded your current quota. Please retry in 2.5s.",
            503: "The model is overloaded. Please try again later.",
        }
        return Refused(status, "", told.get(status, "An internal error has occurred. Please retry."))


class MistralWire(ChatWire):
    """Mistral's own endpoint."""

    provider = "mistral"
    parameters = MISTRAL_PARAMETERS

    def unauthorized(self, given: str) -> Refused:
        return Refused(401, "unauthorized", "Unauthorized")

    def known(self, given: Mapping[str, Any], known: set[str], where: str) -> None:
        if strange := sorted(given.keys() - known):
            raise Refused(422, "extra_forbidden", "Extra inputs are not permitted", param=f"{where}{strange[0]}")

    def no_model(self, model: Any) -> Refused:
        return Refused(400, "invalid_model", f"Invalid model: {model}", code="1500")

    def message_keys(self, role: str) -> set[str]:
        kept = MESSAGE_KEYS[role] - {"audio", "function_call", "refusal"}
        return kept | {"assistant": {"prefix"}, "tool": {"name"}}.get(role, set())

    def effort(self, body: Mapping[str, Any]) -> None:
        """Taken as it is."""

    def max_tokens(self, body: Mapping[str, Any]) -> int:
        return self.limit(body, "max_tokens")

    def must_call(self, body: Mapping[str, Any]) -> bool:
        if body.get("tool_choice") == "any":
            return bool(body.get("tools"))
        return super().must_call(body)

    def name(self, given: Any, where: str) -> None:
        if not isinstance(given, str) or not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", given):
            raise bad_request(
                f"Function name was {given} but must be a-z, A-Z, 0-9, or contain underscores and dashes, with a maximum length "
                "of 64."
            )

    def description(self, given: Any, place: int) -> None:
        """Any length."""

    def call_id(self, given: Any, where: str) -> None:
        if not isinstance(given, str) or not MISTRAL_ID.fullmatch(given):
            raise bad_request(f"Tool call id was {given} but must be a-z, A-Z, 0-9, with a length of 9.", code="3280")

    def after(self, before: str, role: str, place: int) -> None:
        if (before, role) in (("tool", "user"), ("tool", "system")):
            raise bad_request(f"Unexpected role '{role}' after role 'tool'", code="3230")

    def ends(self, role: str) -> None:
        if role not in ("user", "tool"):
            raise bad_request(
                f"Expected last role User or Tool (or Assistant with prefix True) for serving but got {role}",
                code="3230",
            )

    def new_call_id(self) -> str:
        return self.ids.mistral_call()

    def answering(self, model: str) -> str:
        return model

    def refusal(self, turn: Turn) -> dict[str, Any]:
        """A refusal is a text like any other."""
        return {"content": turn.why} if turn.stop == "refusal" else {}

    def finish(self, turn: Turn) -> str:
        return {"malformed": "error"}.get(turn.stop) or super().finish(turn)

    def extras(self) -> dict[str, Any]:
        return {}

    def headers(self) -> dict[str, str]:
        return {"mistral-correlation-id": self.ids.hexadecimal()}

    def error(self, refused: Refused) -> web.Response:
        """Three forms: of the gateway, of the validation of fields, and of the model's server."""
        if refused.kind == "unauthorized":
            body: dict[str, Any] = {"detail": refused.message}
        elif refused.kind == "extra_forbidden":
            where = ["body", *str(refused.param).split(".")]
            body = {"detail": [{"type": refused.kind, "loc": where, "msg": refused.message}]}
        else:
            body = {"object": "error", "message": refused.message, "type": refused.kind, "param": None}
            body |= {"code": refused.code}
        return web.json_response(body, status=refused.status, headers=self.headers())

    def fault(self, status: int) -> Refused:
        status = 503 if status == 529 else status
        told = {429: "Requests rate limit exceeded", 503: "Service unavailable."}
        kind = "rate_limited" if status == 429 else "internal_server_error"
        return Refused(status, kind, told.get(status, "Internal server error"), code=str(status))


def _signature(call: Mapping[str, Any]) -> str:
    """Of a call by this model: of its name and arguments, in whatever form they are written."""
    function = call.get("function") or {}
    arguments = str(function.get("arguments"))
    try:
        arguments = json.dumps(json.loads(arguments), sort_keys=True)
    except ValueError:
        pass
    return signature("gemini", str(function.get("name")), arguments)
