"""Verifiers: what the vendors' own checks accept is accepted; what is changed, old, early or spelled otherwise is not."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

import pytest
import standardwebhooks
import stripe as stripe_sdk
from elevenlabs.client import ElevenLabs
from elevenlabs.errors import BadRequestError
from hubspot.utils.signature import Signature as HubSpotSignature
from hypothesis import example, given
from hypothesis import strategies as st
from pyairtable.models.webhook import WebhookNotification
from quickbooks import QuickBooks
from twilio.request_validator import RequestValidator

from services.tool_gateway.webhooks.schemes import (
    airtable,
    body_mac,
    elevenlabs,
    hubspot,
    quickbooks,
    shared_secret,
    standard,
    stripe,
    twilio,
)
from services.tool_gateway.webhooks.schemes.proof import Incoming, Verify
from tests.unit.webhooks import signing
from tests.unit.webhooks.signing import NOW, URL, incoming

KEY = base64.b64encode(b"a key of thirty-two bytes, nearly").decode()
ELEVENLABS = ElevenLabs(api_key="x")
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
bodies = st.dictionaries(texts, texts, max_size=3).map(lambda value: repr(value).encode())
secret_texts = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=8, max_size=40)


@dataclass(frozen=True)
class Scheme:
    """A scheme with its signer, and how long it takes a request; None where signatures have no time."""

    name: str
    verify: Verify
    sign: Callable[[str, bytes, int], dict[str, str]]
    header: str
    secret: str = "whsec_5a5a5a5a5a5a5a5a"
    other: str = "whsec_another_secret"
    past: int | None = None

    def request(self, body: bytes, at: int = NOW, secret: str | None = None) -> Incoming:
        return incoming(body, {"Content-Type": "application/json"} | self.sign(secret or self.secret, body, at))


SCHEMES = [
    Scheme("stripe", stripe.verify, signing.stripe, "stripe-signature", past=300),
    Scheme("elevenlabs", elevenlabs.verify, signing.elevenlabs, "elevenlabs-signature", past=1800),
    Scheme("hubspot", hubspot.verify, signing.hubspot, "x-hubspot-signature-v3", past=300),
    Scheme("quickbooks", quickbooks.verify, lambda s, b, _: signing.quickbooks(s, b), "intuit-signature"),
    Scheme(
        "airtable",
        airtable.verify,
        lambda s, b, _: signing.airtable(s, b),
        "x-airtable-content-mac",
        KEY,
        KEY[::-1][4:] + KEY[:4],
    ),
    Scheme("standard", standard.verify, signing.standard, "webhook-signature", "whsec_" + KEY, KEY[4:], 300),
    Scheme("twilio", twilio.verify, lambda s, b, _: signing.twilio(s, b, URL), "x-twilio-signature"),
]
TIMED = [scheme for scheme in SCHEMES if scheme.past]
every = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
timed = pytest.mark.parametrize("scheme", TIMED, ids=lambda scheme: scheme.name)
BODY = b"From=%2B14155550123&Body=Caf%C3%A9"


def with_header(request: Incoming, name: str, *values: str) -> Incoming:
    return replace(request, headers={**request.headers, name: list(values)})


# -- what the vendors' own checks say ----------------------------------------------------------------------------------


@given(body=bodies, secret=secret_texts, age=st.integers(-30, 290))
def test_stripes_own_signature_is_accepted(body: bytes, secret: str, age: int) -> None:
    now = int(time.time())
    header = stripe_sdk.WebhookSignature.generate_signature_header(body.decode(), secret, timestamp=now - age)
    assert stripe_sdk.WebhookSignature.verify_header(body.decode(), header, secret, 300)
    assert stripe.verify(incoming(body, {"Stripe-Signature": header}), [secret], now).proved


@given(body=bodies, secret=secret_texts, age=st.integers(-30, 1790))
def test_elevenlabs_own_check_agrees(body: bytes, secret: str, age: int) -> None:
    now = int(time.time())
    raw = b'{"type":"x","said":%s}' % base64.b64encode(body).join([b'"', b'"'])
    headers = signing.elevenlabs(secret, raw, now - age)
    assert ELEVENLABS.webhooks.construct_event(raw.decode(), headers["ElevenLabs-Signature"], secret)
    assert elevenlabs.verify(incoming(raw, headers), [secret], now).proved
    with pytest.raises(BadRequestError):
        ELEVENLABS.webhooks.construct_event(raw.decode() + " ", headers["ElevenLabs-Signature"], secret)
    assert not elevenlabs.verify(incoming(raw + b" ", headers), [secret], now).proved


@given(
    body=bodies,
    secret=secret_texts,
    age=st.integers(-30, 290),
    query=st.sampled_from(["", "?a=1&b=%20x", "?hub=%C3%A9"]),
)
def test_hubspots_own_check_agrees(body: bytes, secret: str, age: int, query: str) -> None:
    now, url = time.time(), URL + query
    sent = str(int((now - age) * 1000))
    signature = HubSpotSignature.get_signature(secret, body.decode(), "v3", url, "POST", sent)
    assert HubSpotSignature.is_valid(signature, secret, body.decode(), url, "POST", "v3", sent)
    headers = {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": sent}
    assert hubspot.verify(incoming(body, headers, url), [secret], now).proved
    assert not hubspot.verify(incoming(body, headers, url, "PUT"), [secret], now).proved


def test_hubspot_signs_some_characters_decoded() -> None:
    called, signed = URL + "?to=a%40b.example%2Fc%3Fd%7E", URL + "?to=a@b.example/c?d%7E"
    request = incoming(b"[]", signing.hubspot("secret", b"[]", NOW, signed), called)
    assert hubspot.verify(request, ["secret"], NOW).proved


@given(body=bodies, secret=secret_texts)
def test_quickbooks_own_check_agrees(body: bytes, secret: str) -> None:
    client = QuickBooks(verifier_token=secret, minorversion=75)
    signature = signing.quickbooks(secret, body)["intuit-signature"]
    assert client.validate_webhook_signature(body.decode(), signature)
    assert quickbooks.verify(incoming(body, {"intuit-signature": signature}), [secret], NOW).proved


@given(said=st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\'), max_size=40))
def test_airtables_own_check_agrees(said: str) -> None:
    body = f'{{"base":{{"id":"app1"}},"webhook":{{"id":"ach1"}},"timestamp":"2026-12-01T09:30:00.000Z","x":"{said}"}}'
    headers = signing.airtable(KEY, body.encode())
    assert WebhookNotification.from_request(body, headers["X-Airtable-Content-MAC"], KEY)
    assert airtable.verify(incoming(body.encode(), headers), [KEY], NOW).proved


@given(body=bodies, age=st.integers(-290, 290), key=st.binary(min_size=24, max_size=64))
def test_the_standards_own_library_agrees(body: bytes, age: int, key: bytes) -> None:
    now, secret = int(time.time()), "whsec_" + base64.b64encode(key).decode()
    headers = signing.standard(secret, body, now - age, "msg_27Uh4lLyY")
    standardwebhooks.Webhook(secret).verify(body, headers, json_parse=False)
    assert standard.verify(incoming(body, headers), [secret], now).proved
    assert standard.verify(incoming(body, headers), [secret.rstrip("=")], now).proved


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
ports = st.sampled_from(["", ":443", ":8443"])


@given(form=st.dictionaries(names, texts, min_size=1, max_size=6), secret=secret_texts, signed=ports, called=ports)
@example(form={"Body": "", "From": "+14155550123"}, secret="12345678", signed=":443", called="")
def test_twilios_own_check_agrees(form: dict[str, str], secret: str, signed: str, called: str) -> None:
    validator, path = RequestValidator(secret), "/webhooks/twilio?a=1%20"
    signature = validator.compute_signature(f"https://hooks.example.com{signed}{path}", form)
    url, body = f"https://hooks.example.com{called}{path}", urlencode(form).encode()
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    theirs = validator.validate(url, form, signature)
    assert twilio.verify(incoming(body, headers, url), [secret], NOW).proved == theirs


@given(body=bodies, secret=secret_texts, shared=st.booleans())
def test_twilios_json_and_shared_keys(body: bytes, secret: str, shared: bool) -> None:
    validator = RequestValidator(secret)
    algorithm = "HMAC_SHA256" if shared else "HMAC_SHA1"
    url = f"{URL}?bodySHA256={hashlib.sha256(body).hexdigest()}"
    signature = validator.compute_signature(url, {}, algorithm)
    assert validator.validate(url, body.decode(), signature, algorithm)
    settings = {"X-Twilio-Webhooks-Signature-Settings": f"key=sk_1,algorithm={algorithm}"} if shared else {}
    request = incoming(body, {"X-Twilio-Signature": signature, "Content-Type": "application/json"} | settings, url)
    mine, wrong = (f"sha256:{secret}", secret) if shared else (secret, f"sha256:{secret}")
    assert twilio.verify(request, [mine], NOW).proved
    assert not twilio.verify(request, [wrong], NOW).proved, "a key is used with its own algorithm only"
    assert not twilio.verify(replace(request, body=body + b" "), [mine], NOW).proved


def test_a_json_body_that_twilio_did_not_sign_is_refused() -> None:
    signature = RequestValidator("token").compute_signature(URL, {})
    for kind in ("application/json", "application/x-www-form-urlencoded"):
        body = b"{}" if kind.endswith("json") else b""
        request = incoming(body, {"X-Twilio-Signature": signature, "Content-Type": kind})
        assert not twilio.verify(request, ["token"], NOW).proved


def test_an_algorithm_that_nobody_speaks_is_refused() -> None:
    headers = signing.twilio("token", BODY, URL) | {"X-Twilio-Webhooks-Signature-Settings": "algorithm=HMAC_MD5"}
    assert twilio.verify(incoming(BODY, headers), ["token"], NOW).refusal == "signature_malformed"


@given(form=st.lists(st.tuples(names, texts), min_size=1, max_size=6))
def test_repeated_fields_are_signed_once_a_value(form: list[tuple[str, str]]) -> None:
    class Fields(dict[str, list[str]]):
        def getall(self, name: str) -> list[str]:
            return self[name]

    body = urlencode(form).encode()
    fields = Fields(parse_qs(body.decode(), keep_blank_values=True))
    headers = {
        "X-Twilio-Signature": RequestValidator("token").compute_signature(URL, fields),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    assert twilio.verify(incoming(body, headers), ["token"], NOW).proved


# -- what is refused ---------------------------------------------------------------------------------------------------


@every
def test_what_is_signed_is_accepted_and_a_changed_body_is_not(scheme: Scheme) -> None:
    request = scheme.request(BODY)
    assert scheme.verify(request, [scheme.secret], NOW).proved
    for place in range(0, len(BODY), 3):
        changed = BODY[:place] + bytes([BODY[place] ^ 1]) + BODY[place + 1 :]
        assert not scheme.verify(replace(request, body=changed), [scheme.secret], NOW).proved, changed


@every
def test_without_the_header_or_with_two_of_it(scheme: Scheme) -> None:
    request = scheme.request(BODY)
    value = request.headers[scheme.header][0]
    for values in ((), (value, value), ("", value)):
        assert scheme.verify(with_header(request, scheme.header, *values), [scheme.secret], NOW).refusal is not None


@every
def test_a_secret_is_rotated_without_a_gap(scheme: Scheme) -> None:
    old, new = scheme.secret, scheme.other
    for signed_with, known, proved in (
        (old, [new, old], True),
        (new, [new, old], True),
        (old, [new], False),
        (old, [], False),
    ):
        assert scheme.verify(scheme.request(BODY, secret=signed_with), known, NOW).proved is proved


@timed
@pytest.mark.parametrize(("seconds", "refusal"), [(0, None), (-1, "too_old")])
def test_the_window_ends_in_the_past(scheme: Scheme, seconds: int, refusal: str | None) -> None:
    assert scheme.past
    at = NOW - scheme.past + seconds
    assert scheme.verify(scheme.request(BODY, at), [scheme.secret], NOW).refusal == refusal


@timed
@pytest.mark.parametrize(("ahead", "refusal"), [(300, None), (301, "from_the_future"), (10**9, "from_the_future")])
def test_the_window_ends_in_the_future(scheme: Scheme, ahead: int, refusal: str | None) -> None:
    assert scheme.verify(scheme.request(BODY, NOW + ahead), [scheme.secret], NOW).refusal == refusal


@timed
def test_another_time_than_the_signed_one_is_refused(scheme: Scheme) -> None:
    request = scheme.request(BODY, NOW - 10_000)
    headers = {
        name: [value.replace(str(NOW - 10_000), str(NOW)) for value in values]
        for name, values in request.headers.items()
    }
    assert scheme.verify(replace(request, headers=headers), [scheme.secret], NOW).refusal == "signature_wrong"


def respelled(signature: str) -> list[str]:
    """The same digest written otherwise: lenient decoders take all of them."""
    ways = [
        signature + " ",
        " " + signature,
        signature + "=",
        signature + "\n",
        signature.swapcase(),
        signature.upper(),
    ]
    ways += [signature.rstrip("="), signature.replace("+", "-").replace("/", "_"), quote(signature), signature + "\x00"]
    if signature.endswith("="):  # the last character has bits that a decoder throws away
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        last = alphabet.index(signature[-2])
        ways.append(signature[:-2] + alphabet[last ^ 1] + "=")
    return [way for way in ways if way != signature]


@every
def test_the_same_digest_in_another_spelling_is_refused(scheme: Scheme) -> None:
    request = scheme.request(BODY)
    value = request.headers[scheme.header][0]
    for mark in ("v1=", "v0=", "v1,", "hmac-sha256=", ""):
        before, found, signature = value.rpartition(mark) if mark else ("", "", value)
        if found or not mark:
            break
    for other in respelled(signature):
        changed = with_header(request, scheme.header, before + found + other)
        assert not scheme.verify(changed, [scheme.secret], NOW).proved, other


@every
@given(junk=st.text(max_size=80))
def test_no_header_makes_a_verifier_fail(scheme: Scheme, junk: str) -> None:
    request = scheme.request(BODY)
    for name in request.headers:
        verdict = scheme.verify(with_header(request, name, junk), [scheme.secret], NOW)
        if name == scheme.header:
            assert not verdict.proved


@pytest.mark.parametrize(
    "header", ["t=,v1=a", "v1=a", "t=1", "t=1.0,v1=a", "t=+1,v1=a", "t=1,t=1,v1=a", "t=١,v1=a", "t=1," + "v1=a," * 17]
)
def test_malformed_headers_of_stripe(header: str) -> None:
    assert stripe.verify(incoming(BODY, {"Stripe-Signature": header}), ["s"], NOW).refusal == "signature_malformed"


def test_one_right_signature_of_several_is_enough_and_another_scheme_is_none() -> None:
    right = signing.stripe("old", BODY, NOW)["Stripe-Signature"]
    digest = right.partition("v1=")[2]
    for header, proved in (
        (f"t={NOW},v1={'0' * 64},v1={digest}", True),
        (f"t={NOW},v0={digest},v1={'0' * 64}", False),
        (f"t={NOW},v0={digest}", False),
    ):
        assert stripe.verify(incoming(BODY, {"Stripe-Signature": header}), ["old"], NOW).proved is proved


def test_hubspots_signatures_without_a_time_are_refused() -> None:
    for version, name in (("v1", "X-HubSpot-Signature"), ("v2", "X-HubSpot-Signature")):
        signature = HubSpotSignature.get_signature("secret", BODY.decode(), version, URL, "POST")
        request = incoming(BODY, {name: signature, "X-HubSpot-Request-Timestamp": str(NOW * 1000)})
        assert hubspot.verify(request, ["secret"], NOW).refusal == "signature_missing"


@pytest.mark.parametrize(
    ("headers", "proved"),
    [
        ({"X-Viox-Secret": "the secret"}, True),
        ({"Authorization": "Bearer the secret"}, True),
        ({"X-Viox-Secret": "the secret "}, False),
        ({"X-Viox-Secret": "wrong", "Authorization": "Bearer the secret"}, False),
        ({"Authorization": "Basic the secret"}, False),
        ({}, False),
    ],
)
def test_a_shared_secret_in_a_header(headers: dict[str, str], proved: bool) -> None:
    assert shared_secret.verify(incoming(BODY, headers), ["newer", "the secret"], NOW).proved is proved


@pytest.mark.parametrize("spelling", ["hex", "base64"])
def test_a_digest_that_a_configuration_describes(spelling: str) -> None:
    digest = signing.hexed(b"key", BODY) if spelling == "hex" else signing.based(b"key", BODY)
    options: dict[str, Any] = {"header": "X-Hub-Signature-256", "spelling": spelling, "prefix": "sha256="}
    assert body_mac.verify(incoming(BODY, {"X-Hub-Signature-256": f"sha256={digest}"}), [b"key"], **options).proved
    assert not body_mac.verify(incoming(BODY, {"X-Hub-Signature-256": digest}), [b"key"], **options).proved


@pytest.mark.parametrize("secret", ["not base64!", "whsec_"])
def test_a_secret_that_cannot_be_one_is_named(secret: str) -> None:
    with pytest.raises(ValueError, match=r"base64|empty"):
        standard.check_secret(secret)
