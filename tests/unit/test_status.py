"""What `up`, `status` and `doctor` say of vendors and models."""

from __future__ import annotations

from shared.models import registry
from viox import doctor, doctor_models, lifecycle

FOUND = {"vendors": {"stripe": "u", "twilio": "u", "mail": "u"}, "emulated": ["twilio", "mail"]}


def test_emulated_and_real_vendors_are_named() -> None:
    assert lifecycle.vendors_lines(FOUND) == [
        "emulated  twilio, mail (nothing leaves this machine)",
        "real      stripe (credentials are set)",
    ]
    assert lifecycle.vendors_lines(FOUND | {"emulated": []})[0] == "emulated  none"


def test_an_agent_without_a_model_is_called_offline() -> None:
    choice = registry.choices("offline", {}, ["closer"])[0]
    assert lifecycle.model_line(choice.document()) == "closer          offline: rules of the role, no AI"
    assert doctor_models.of_choice(choice)["message"] == "offline: rules of the role, no AI"
    assert registry.Choice.of(choice.document()) == choice


def test_up_and_status_say_how_roles_are_answered() -> None:
    assert lifecycle.models_line({"models_mode": "offline"}) == "models: offline (rules of the roles, no AI)"
    wire = {"models_mode": "wire", "models_url": "http://127.0.0.1:9"}
    assert lifecycle.models_line(wire) == "models: wire (sandbox), at http://127.0.0.1:9"
    assert lifecycle.models_line({"models_mode": "real"}) == "models: real"


def test_doctor_says_which_vendor_is_emulated() -> None:
    told = {"vendor": "twilio", "state": "ok", "message": "answers."}
    assert doctor._vendor(dict(told), {"twilio"})["message"] == "emulated here: answers."
    assert doctor._vendor(dict(told), set())["message"] == "answers."
