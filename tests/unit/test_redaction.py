"""Secrets are taken out of texts in whatever coding they come back."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from shared.errors import VioxError
from shared.redaction import Redactions, Redactor

SECRETS = ['live/Kq+9==&w"Rt7<PzXm2', "plain0123456789abcdefghij", "pässwört wïth spaces", "ya29." + "aB3-" * 200]
CODINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": json.dumps,
    "JSON with escaped slashes": lambda s: json.dumps(s).replace("/", "\\/"),
    "JSON in JSON": lambda s: json.dumps(json.dumps(s)),
    "JSON, everything escaped": lambda s: "".join(f"\\u{ord(c):04X}" for c in s),
    "URL": lambda s: quote(s, safe=""),
    "URL in lower case": lambda s: "".join(
        f"%{b:02x}" if b > 126 or not chr(b).isalnum() else chr(b) for b in s.encode()
    ),
    "URL in a URL": lambda s: quote(quote(s, safe=""), safe=""),
    "URL, everything escaped": lambda s: "".join(f"%{b:02X}" for b in s.encode()),
    "form": quote_plus,
    "HTML": html.escape,
    "HTML, everything escaped": lambda s: "".join(f"&#x{ord(c):x};" for c in s),
    "bytes in a log": lambda s: repr(s.encode()),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 after a user": lambda s: base64.b64encode(f"user:{s}".encode()).decode(),
    "base64 within others": lambda s: base64.b64encode(f"\0u\0{s}\0more".encode()).decode(),
    "base64 for URLs": lambda s: base64.urlsafe_b64encode(f"ab{s}".encode()).decode().rstrip("="),
    "base64 in a URL": lambda s: quote(base64.b64encode(s.encode()).decode(), safe=""),
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
    "cut off": lambda s: s[: len(s) * 3 // 4],
}


def redactions(*secrets: str) -> Redactions:
    made = Redactions()
    for number, secret in enumerate(secrets):
        made.tell(f"KEY_{number}", secret)
    return made


@pytest.mark.rule(15)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("secret", SECRETS, ids=["symbols", "plain", "umlauts", "long"])
def test_a_secret_is_found_in_every_coding(secret: str, coding: str) -> None:
    said = CODINGS[coding](secret)
    hidden = redactions("another-secret-1", secret).text(f"wrong key: {said}. Goodbye")
    assert "[secret KEY_1]" in hidden
    assert hidden.startswith("wrong key: ")
    assert hidden.endswith(". Goodbye")
    assert said[4:-4] not in hidden


@pytest.mark.rule(15)
@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be"])
def test_bodies_in_two_bytes_a_character_stay_readable(charset: str) -> None:
    body = f'{{"key": "{SECRETS[1]}"}}'.encode(charset)
    assert redactions(SECRETS[1]).data(body).decode(charset) == '{"key": "[secret KEY_0]"}'


def test_what_has_no_secret_is_the_same_object() -> None:
    known = redactions(*SECRETS)
    body, value = b'{"a": "100%25 \\u00e9 &amp; \\x00"}' * 100, {"a": ["b", 1, None, True]}
    assert known.data(body) is body
    assert known.value(value) is value


def test_keys_and_texts_of_a_value_lose_it_and_numbers_stay() -> None:
    secret = SECRETS[0]
    value = {f"k {secret}": [1, 2.5, None, {"deep": f"x{secret}x"}]}
    assert redactions(secret).value(value) == {"k [secret KEY_0]": [1, 2.5, None, {"deep": "x[secret KEY_0]x"}]}


def test_values_that_our_json_cannot_hold_are_looked_through_all_the_same() -> None:
    known, odd = redactions(SECRETS[1]), {"n": 10**30, "t": "half \ud800"}
    assert known.value(odd) is odd
    assert known.value(odd | {"k": SECRETS[1]}) == odd | {"k": "[secret KEY_0]"}


def test_short_values_could_be_anything_and_stay() -> None:
    assert redactions("secret1").text("a secret1 word") == "a secret1 word"


def test_of_a_renewed_token_the_last_ones_are_known() -> None:
    made = Redactions()
    tokens = [f"{n:04}-number-of-a-token" for n in range(12)]
    for token in tokens:
        made.tell("TOKEN", token)
    hidden = [made.text(token) for token in tokens]
    assert hidden[-8:] == ["[secret TOKEN]"] * 8
    assert hidden[:4] == tokens[:4]


def test_scopes_are_apart_but_for_everywhere() -> None:
    redactor = Redactor()
    redactor.tell("stripe", "A", "first-secret-0001")
    redactor.tell("twilio", "B", "second-secret-0002")
    text = "first-secret-0001 second-secret-0002"
    assert redactor.of("stripe").text(text) == "[secret A] second-secret-0002"
    assert redactor.everywhere(text) == "[secret A] [secret B]"


def test_errors_say_none() -> None:
    with pytest.raises(VioxError) as error, redactions("a-secret-of-ours").errors():
        raise VioxError("http.no_answer", "bad status line: a-secret-of-ours")
    assert str(error.value) == "error[http.no_answer]: bad status line: [secret KEY_0]"
