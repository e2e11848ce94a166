"""intuit-oauth connects, refreshes and revokes at the emulator; python-quickbooks verifies its webhooks."""

from __future__ import annotations

import json
import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from intuitlib.exceptions import AuthClientError
    from quickbooks import QuickBooks as Sdk
    from quickbooks import exceptions
    from quickbooks.objects.customer import Customer
    from quickbooks.objects.invoice import Invoice

from sandbox.vendors.quickbooks import REALM_ID, REFRESH_TOKEN, WEBHOOK_VERIFIER
from tests.contract.emulators import Served
from tests.contract.quickbooks_client import an_invoice, auth, connect, new_customer, quickbooks_served
from tests.contract.receiver import Receiver

__all__ = ["quickbooks_served"]
pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_refresh_rotates_and_the_old_token_is_dead(served: Served) -> None:
    client = auth()
    assert Customer.count(qb=connect(client)) == 0
    second = client.refresh_token
    assert second != REFRESH_TOKEN
    assert (client.expires_in, client.x_refresh_token_expires_in) == (3600, 8640000)
    with pytest.raises(AuthClientError) as refused:
        auth().refresh(REFRESH_TOKEN)
    assert refused.value.status_code == 400
    assert json.loads(refused.value.content)["error"] == "invalid_grant"
    client.refresh()
    assert client.refresh_token not in (REFRESH_TOKEN, second)
    grants = served.emulator.oauth.grants  # type: ignore[attr-defined]
    assert [g["granted"] for g in grants] == [True, False, True]
    assert served.emulator.requests["POST /oauth2/v1/tokens/bearer"] == 3
    with pytest.raises(AuthClientError) as stranger:
        auth("wrong").refresh(client.refresh_token)
    assert stranger.value.status_code == 401


def test_a_restarted_emulator_knows_its_own_tokens_and_no_others(served: Served) -> None:
    client = auth()
    connect(client)
    before = client.refresh_token
    served.control("reset")
    for forged in (f"{before}0", before[:-1], "RT-a-b-c", "RT-" + "-".join(["0" * 32] * 3)):
        with pytest.raises(AuthClientError):
            auth().refresh(forged)
    client.refresh()
    assert client.refresh_token != before
    with pytest.raises(AuthClientError):
        auth().refresh(before)


def test_an_expired_token_is_refused_until_refreshed(served: Served) -> None:
    client = auth()
    qb = connect(client)
    served.control("oauth", expire=True)
    with pytest.raises(exceptions.AuthorizationException) as expired:
        Customer.count(qb=qb)
    assert expired.value.error_code == 401
    assert json.loads(expired.value.detail)["fault"]["error"][0]["code"] == "3200"
    client.refresh()
    assert Customer.count(qb=connect(client)) == 0
    served.control("oauth", lifetime=0)
    client.refresh()
    with pytest.raises(exceptions.AuthorizationException):
        Customer.count(qb=connect(client))


def test_a_code_works_once_and_revocation_ends_everything(served: Served) -> None:
    code = served.control("oauth/code", redirect_uri="http://localhost/back")["code"]
    client = auth()
    client.get_bearer_token(code, realm_id=REALM_ID)
    qb = connect(client, client.realm_id, client.refresh_token)
    assert Customer.count(qb=qb) == 0
    with pytest.raises(AuthClientError):
        auth().get_bearer_token(code)
    assert client.revoke(token=client.refresh_token)
    with pytest.raises(exceptions.AuthorizationException):
        Customer.count(qb=qb)
    with pytest.raises(AuthClientError):
        client.refresh()


def test_only_the_connected_company_is_open(served: Served) -> None:
    with pytest.raises(exceptions.QuickbooksException) as other:
        Customer.count(qb=connect(company="123"))
    assert "003100" in other.value.message
    with pytest.raises(exceptions.AuthorizationException):
        Customer.count(qb=connect(auth(access_token="made-up", refresh_token="x")))


def test_webhooks_are_signed_for_the_sdk(served: Served, receiver: Receiver) -> None:
    served.control("webhooks", url=receiver.url)
    qb = Sdk(
        auth_client=auth(),
        refresh_token=REFRESH_TOKEN,
        company_id=REALM_ID,
        minorversion=75,
        verifier_token=WEBHOOK_VERIFIER,
    )
    customer = new_customer(qb, "Ana")
    invoice = an_invoice(customer, 80, qb).save(qb=qb)
    invoice.send(qb=qb, send_to="ana@x.co")
    Invoice.get(invoice.Id, qb=qb).void(qb=qb)
    hooks = receiver.wait(4)
    assert all(qb.validate_webhook_signature(hook.body, hook.headers["intuit-signature"]) for hook in hooks)
    assert not qb.validate_webhook_signature(hooks[0].body + " ", hooks[0].headers["intuit-signature"])
    events = [event for hook in hooks for event in json.loads(hook.body)]
    assert [event["type"] for event in events] == [
        "qbo.customer.created.v1",
        "qbo.invoice.created.v1",
        "qbo.invoice.emailed.v1",
        "qbo.invoice.voided.v1",
    ]
    assert {event["intuitaccountid"] for event in events} == {REALM_ID}
    assert events[1]["intuitentityid"] == invoice.Id
    assert len({event["id"] for event in events}) == 4


def test_every_answer_has_a_trace_id(served: Served) -> None:
    client = auth()
    qb = connect(client)
    answer = qb.process_request("GET", f"{qb.api_url}/company/{REALM_ID}/companyinfo/1", headers={"Accept": "*/*"})
    assert answer.headers["intuit_tid"]
    assert answer.text.startswith("<IntuitResponse")
    with pytest.raises(AuthClientError) as refused:
        auth().refresh("unknown")
    assert refused.value.intuit_tid
