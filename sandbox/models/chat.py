"""Chat Completions as their servers: OpenAI, Gemini's compatible endpoint, Mistral. One form, three sets of rules and errors."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from sandbox.models.ids import Ids
from sandbox.models.limits import limits_of, tokens
from sandbox.models.schemas import problem_with
from sandbox.models.turns import Call, Message, Question, Refused, Result, Said, Tool, Turn, bad_request, words

PARAMETERS = words(
    "messages model frequency_penalty logit_bias logprobs max_completion_tokens max_tokens metadata modalities n "
    "parallel_tool_calls prediction presence_penalty prompt_cache_key reasoning_effort response_format safety_identifier seed "
    "service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity"
)
MESSAGE_KEYS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "refusal", "audio", "tool_calls", "function_call"},
    "tool": {"role", "content", "tool_call_id"},
}
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]+")
LONGEST_NAME, LONGEST_ID, LONGEST_DESCRIPTION, MOST_TOOLS = 64, 40, 1024, 128
FINISHES = {"refusal": "stop", "max_tokens": "length", "malformed": "stop"}
SENTENCES = {
    429: "Rate limit reached for requests. Limit 500, Used 500, Requested 1.",
    500: "The server had an error while processing your request. Sorry about that!",
    503: "The engine is currently overloaded, please try again later.",
}


class ChatWire:
    """OpenAI's server. Others differ where a method is theirs."""

    provider = "openai"
    parameters = PARAMETERS

    def __init__(self, key: str, ids: Ids) -> None:
        self._key = key
        self.ids = ids

    # -- reading -------------------------------------------------------------------------------------------------------

    def admit(self, headers: Mapping[str, str]) -> None:
        """Raises Refused for a request without the key."""
        given = headers.get("Authorization", "").removeprefix("Bearer ")
        if given != self._key:
            raise self.unauthorized(given)

    def read(self, body: Any) -> Question:
        """What the request asks. Raises Refused with what the server would say of it."""
        if not isinstance(body, dict):
            raise bad_request("We could not parse the JSON body of your request.")
        self.known(body, self.parameters, "")
        for name in ("model", "messages"):
            if name not in body:
                raise bad_request(
                    f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
                )
        if body.get("stream"):
            raise bad_request("This sandbox answers in one piece.", param="stream")
        if not isinstance(body["model"], str) or limits_of(self.provider, body["model"]) is None:
            raise self.no_model(body["model"])
        tools = tuple(self._tools(body))
        self.effort(body)
        must_call = self.must_call(body)
        system, messages = self._conversation(body["messages"])
        max_tokens = self.max_tokens(body)
        self._room(body)
        return Question(body["model"], system, messages, tools, max_tokens, must_call)

    def known(self, given: Mapping[str, Any], known: set[str], where: str) -> None:
        if strange := sorted(given.keys() - known):
            name = f"{where}{strange[0]}"
            raise bad_request(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")

    def no_model(self, model: Any) -> Refused:
        told = f"The model `{model}` does not exist or you do not have access to it."
        return Refused(404, "invalid_request_error", told, code="model_not_found")

    def unauthorized(self, given: str) -> Refused:
        told = (
            f"Incorrect API key provided: {given[:3]}***{given[-4:]}. You can find your API key at "
            "https://platform.openai.com/account/api-keys."
        )
        return Refused(401, "invalid_request_error", told, code="invalid_api_key")

    def max_tokens(self, body: Mapping[str, Any]) -> int:
        """How much the answer may have."""
        if _reasons(body["model"]) and "max_tokens" in body:
            raise bad_request(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                param="max_tokens",
                code="unsupported_parameter",
            )
        name = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
        return self.limit(body, name)

    def limit(self, body: Mapping[str, Any], name: str) -> int:
        """The value of a parameter that limits the answer, within what the model can give."""
        limits = limits_of(self.provider, body["model"])
        most = limits.output if limits else 0
        wanted = body.get(name, most)
        if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
            raise bad_request(f"Invalid '{name}': expected an integer above 0.", param=name, code="invalid_value")
        if wanted > most:
            raise bad_request(
                f"{name} is too large: {wanted}. This model supports at most {most} completion tokens, whereas you provided "
                f"{wanted}.",
                param=name,
                code="invalid_value",
            )
        return wanted

    def effort(self, body: Mapping[str, Any]) -> None:
        """How hard a model is to think."""
        effort, model = body.get("reasoning_effort"), body["model"]
        if effort is not None and not _reasons(model):
            raise bad_request(
                "Unrecognized request argument supplied: reasoning_effort",
                param="reasoning_effort",
                code="unknown_parameter",
            )
        if _reasons_by_itself(model) and body.get("tools") and effort != "none":
            raise bad_request(
                f"Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. To use "
                "function tools, use /v1/responses or set reasoning_effort to 'none'.",
                param="reasoning_effort",
            )

    def must_call(self, body: Mapping[str, Any]) -> bool:
        choice = body.get("tool_choice")
        if choice is None:
            return False
        if not body.get("tools"):
            raise bad_request("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
        if choice not in ("auto", "required", "none") and not isinstance(choice, dict):
            raise bad_request(f"Invalid value: '{choice}'.", param="tool_choice", code="invalid_value")
        return choice not in ("auto", "none")

    def _tools(self, body: Mapping[str, Any]) -> Iterator[Tool]:
        given = body.get("tools")
        if given is None:
            return
        if not isinstance(given, list) or not given or len(given) > MOST_TOOLS:
            raise bad_request("Invalid 'tools': expected an array of 1 to 128 functions.", param="tools")
        names: set[str] = set()
        for place, tool in enumerate(given):
            function = tool.get("function") if isinstance(tool, dict) else None
            if not isinstance(function, dict) or tool.get("type") != "function":
                raise bad_request(f"Missing required parameter: 'tools[{place}].function'.", param=f"tools[{place}]")
            self.known(tool, {"type", "function"}, f"tools[{place}].")
            self.known(function, {"name", "description", "parameters", "strict"}, f"tools[{place}].function.")
            self.name(function.get("name"), f"tools[{place}].function.name")
            if function["name"] in names:
                raise bad_request("Tool names must be unique.", param="tools")
            names.add(function["name"])
            self.description(function.get("description", ""), place)
            if problem := problem_with(function.get("parameters", {"type": "object"}), self.provider):
                raise bad_request(
                    f"Invalid schema for function '{function['name']}': {problem}",
                    param=f"tools[{place}].function.parameters",
                    code="invalid_function_parameters",
                )
            yield Tool(function["name"], str(function.get("description", "")), function.get("parameters", {}))

    def name(self, given: Any, where: str) -> None:
        """A tool's name, in the list of tools and in a history."""
        if not isinstance(given, str) or not TOOL_NAME.fullmatch(given):
            told = f"Invalid '{where}': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
            raise bad_request(told, param=where, code="invalid_value")
        if len(given) > LONGEST_NAME:
            raise bad_request(
                f"Invalid '{where}': string too long. Expected a string with maximum length 64, but got a string with length "
                f"{len(given)} instead.",
                param=where,
                code="string_above_max_length",
            )

    def description(self, given: Any, place: int) -> None:
        if len(str(given)) > LONGEST_DESCRIPTION:
            where = f"tools[{place}].function.description"
            told = f"Invalid '{where}': string too long. Expected a string with maximum length 1024."
            raise bad_request(told, param=where, code="string_above_max_length")

    def call_id(self, given: Any, where: str) -> None:
        if not isinstance(given, str) or not given:
            raise bad_request(f"Missing required parameter: '{where}'.", param=where)
        if len(given) > LONGEST_ID:
            raise bad_request(
                f"Invalid '{where}': string too long. Expected a string with maximum length 40, but got a string with length "
                f"{len(given)} instead.",
                param=where,
                code="string_above_max_length",
            )

    def message_keys(self, role: str) -> set[str]:
        return MESSAGE_KEYS[role]

    def tool_call_keys(self) -> set[str]:
        return {"id", "type", "function"}

    def after(self, before: str, role: str, place: int) -> None:
        """Whether a message of this role may follow one of the other. OpenAI takes any."""

    def signed(self, calls: Sequence[Mapping[str, Any]], place: int) -> None:
        """What the calls of a history must carry. With OpenAI nothing."""

    def ends(self, role: str) -> None:
        """Whether a conversation may end with a message of this role. With OpenAI it may with any."""

    def _conversation(self, given: Any) -> tuple[str, tuple[Message, ...]]:
        if not isinstance(given, list) or not given:
            raise bad_request(
                "Invalid 'messages': empty array. Expected an array with minimum length 1.", param="messages"
            )
        system: list[str] = []
        made: list[Message] = []
        asked: dict[str, str] = {}
        before = ""
        for place, message in enumerate(given):
            role = self._role(message, place)
            if role != "tool":
                _all_answered(asked, place)
                asked = {}
            self.after(before, role, place)
            before = role
            if role in ("system", "developer"):
                system.append(_text(message, place))
            elif role == "user":
                made += [Said(text) for text in _texts(message, place)]
            elif role == "tool":
                made.append(self._result(message, place, asked))
            else:
                turn = self._turn(message, place)
                asked = {call.id: call.tool for call in turn.calls}
                made.append(turn)
        _all_answered(asked, len(given))
        self.ends(before)
        return "\n".join(system), tuple(made)

    def _role(self, message: Any, place: int) -> str:
        role = message.get("role") if isinstance(message, dict) else None
        if role not in MESSAGE_KEYS:
            where = f"messages[{place}].role"
            raise bad_request(f"Invalid value: '{role}'.", param=where, code="invalid_value")
        self.known(message, self.message_keys(role), f"messages[{place}].")
        return str(role)

    def _result(self, message: Mapping[str, Any], place: int, asked: dict[str, str]) -> Result:
        call = message.get("tool_call_id")
        if not isinstance(call, str) or call not in asked:
            raise bad_request(
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
                param=f"messages.[{place}].role",
            )
        return Result(call, asked.pop(call), _text(message, place))

    def _turn(self, message: Mapping[str, Any], place: int) -> Turn:
        calls = message.get("tool_calls")
        if calls is None:
            return Turn(_text(message, place))
        where = f"messages[{place}].tool_calls"
        if not isinstance(calls, list) or not calls:
            raise bad_request(f"Invalid '{where}': empty array. Expected an array with minimum length 1.", param=where)
        self.signed(calls, place)
        made = tuple(self._call(call, f"{where}[{number}]") for number, call in enumerate(calls))
        if len({call.id for call in made}) < len(made):
            raise bad_request(f"Duplicate value for 'tool_call_id' in '{where}'.", param=where)
        content = message.get("content")
        return Turn("" if content is None else _text(message, place), made)

    def _call(self, given: Any, where: str) -> Call:
        function = given.get("function") if isinstance(given, dict) else None
        if not isinstance(function, dict) or given.get("type") != "function":
            raise bad_request(f"Missing required parameter: '{where}.function'.", param=f"{where}.function")
        self.known(given, self.tool_call_keys(), f"{where}.")
        self.call_id(given.get("id"), f"{where}.id")
        self.name(function.get("name"), f"{where}.function.name")
        try:
            arguments = json.loads(str(function.get("arguments")))
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            told = f"Invalid '{where}.function.arguments': expected a JSON object."
            raise bad_request(told, param=f"{where}.function.arguments")
        return Call(function["name"], arguments, given["id"])

    def _room(self, body: Mapping[str, Any]) -> None:
        limits = limits_of(self.provider, body["model"])
        size = tokens({name: body[name] for name in ("messages", "tools") if name in body})
        if limits and size > limits.window:
            raise self.too_long(size, limits.window)

    def too_long(self, size: int, window: int) -> Refused:
        told = (
            f"This model's maximum context length is {window} tokens. However, your messages resulted in {size} tokens. "
            "Please reduce the length of the messages."
        )
        return bad_request(told, param="messages", code="context_length_exceeded")

    # -- writing -------------------------------------------------------------------------------------------------------

    def answer(self, body: dict[str, Any], question: Question, turn: Turn) -> dict[str, Any]:
        """The document of a turn."""
        message: dict[str, Any] = {"role": "assistant", "content": turn.text or None, **self.refusal(turn)}
        if turn.calls:
            message["tool_calls"] = [self.call(call, number) for number, call in enumerate(turn.calls)]
        finish = self.finish(turn)
        return {
            "id": self.ids.completion(),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.answering(body["model"]),
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "usage": self.usage(tokens(body["messages"]) + tokens(body.get("tools", [])), max(_said(turn), 1)),
            **self.extras(),
        }

    def call(self, call: Call, number: int) -> dict[str, Any]:
        """One call of the answer; `number` is its place."""
        arguments = call.raw if call.raw is not None else json.dumps(call.arguments, separators=(",", ":"))
        return {
            "id": call.id or self.new_call_id(),
            "type": "function",
            "function": {"name": call.tool, "arguments": arguments},
        }

    def new_call_id(self) -> str:
        return self.ids.openai_call()

    def answering(self, model: str) -> str:
        """The dated model behind a name."""
        return {"gpt-4o": "gpt-4o-2024-08-06", "gpt-5.5": "gpt-5.5-2026-04-23"}.get(model, model)

    def refusal(self, turn: Turn) -> dict[str, Any]:
        return {"refusal": turn.why if turn.stop == "refusal" else None, "annotations": []}

    def finish(self, turn: Turn) -> str:
        return FINISHES.get(turn.stop) or ("tool_calls" if turn.calls else "stop")

    def usage(self, prompt: int, output: int) -> dict[str, Any]:
        return {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }

    def extras(self) -> dict[str, Any]:
        return {"service_tier": "default", "system_fingerprint": None}

    def headers(self) -> dict[str, str]:
        return {"x-request-id": f"req_{self.ids.hexadecimal()}", "openai-version": "2020-10-01"}

    def error(self, refused: Refused) -> web.Response:
        """A refusal or fault in the server's form."""
        told = {"message": refused.message, "type": refused.kind, "param": refused.param, "code": refused.code}
        return web.json_response({"error": told}, status=refused.status, headers=self.headers())

    def fault(self, status: int) -> Refused:
        status = 503 if status == 529 else status
        kind, code = ("requests", "rate_limit_exceeded") if status == 429 else ("server_error", None)
        return Refused(status, kind, SENTENCES.get(status, SENTENCES[500]), code=code)


def _reasons(model: str) -> bool:
    """Models that take `reasoning_effort` and `max_completion_tokens` only."""
    return bool(re.match(r"gpt-[5-9]|o\d", model))


def _reasons_by_itself(model: str) -> bool:
    """Models that think unless they are told not to, and do not think with tools in Chat Completions."""
    return bool(re.match(r"gpt-(5\.[4-9]|[6-9])", model))


def _all_answered(asked: Mapping[str, str], place: int) -> None:
    if asked:
        raise bad_request(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The "
            f"following tool_call_ids did not have response messages: {', '.join(asked)}",
            param=f"messages.[{place}].role",
        )


def _texts(message: Mapping[str, Any], place: int) -> list[str]:
    """The texts of a content: one, or its parts."""
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    if not parts or len(texts) < len(parts) or not all(isinstance(text, str) for text in texts):
        found = "null" if content is None else type(content).__name__
        raise bad_request(
            f"Invalid value for 'content': expected a string, got {found}.", param=f"messages.[{place}].content"
        )
    return [str(text) for text in texts]


def _text(message: Mapping[str, Any], place: int) -> str:
    return "".join(_texts(message, place))


def _said(turn: Turn) -> int:
    return tokens(turn.text + turn.why) + sum(tokens(call.tool) + tokens(dict(call.arguments)) for call in turn.calls)
