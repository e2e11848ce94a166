"""Bracketed forms as Stripe reads them, also those that its Python SDK does not send."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from sandbox.vendors.stripe_request import Invalid, Operation, decode

TAKES = "names:texts items:list metadata:map flag:bool amount:amount kind:one|two created:when"


def checked(form: str, takes: str = TAKES) -> dict[str, object]:
    return Operation("POST", "things", lambda given, _: given, takes).check(
        decode(parse_qsl(form, keep_blank_values=True))
    )


@pytest.mark.parametrize(
    ("form", "given"),
    [
        ("names[]=a&names[]=b", {"names": ["a", "b"]}),
        ("names[1]=b&names[0]=a", {"names": ["a", "b"]}),
        ("names[10]=c&names[9]=b", {"names": ["b", "c"]}),
        ("items[][p]=1&items[][q]=2&items[][p]=3", {"items": [{"p": "1", "q": "2"}, {"p": "3"}]}),
        ("items[0][p][q]=1&items[1][p]=2", {"items": [{"p": {"q": "1"}}, {"p": "2"}]}),
        ("metadata[0]=x&metadata[a%20b]=%26", {"metadata": {"0": "x", "a b": "&"}}),
        ("metadata=&names=&flag=true&amount=0", {"metadata": None, "names": [], "flag": True, "amount": 0}),
        ("created[gte]=5&kind=two", {"created": {"gte": 5}, "kind": "two"}),
    ],
)
def test_forms_are_read(form: str, given: dict[str, object]) -> None:
    assert checked(form) == given


@pytest.mark.parametrize(
    ("form", "param", "code"),
    [
        ("flag=yes", "flag", None),
        ("flag=", "flag", "parameter_invalid_empty"),
        ("amount=-1", "amount", "parameter_invalid_integer"),
        ("amount=1e3", "amount", "parameter_invalid_integer"),
        ("amount=100000000", "amount", "amount_too_large"),
        ("kind=three", "kind", None),
        ("names[a]=x", "names", None),
        ("names=x", "names", None),
        ("metadata=x", "metadata", None),
        ("created[since]=1", "created[since]", "parameter_unknown"),
        ("other=1", "other", "parameter_unknown"),
        ("flag[a=1", "flag[a", "parameter_unknown"),
        ("flag=true&flag[a]=1", "flag[a]", None),
    ],
)
def test_what_cannot_be_is_refused_with_its_parameter(form: str, param: str, code: str | None) -> None:
    with pytest.raises(Invalid) as refused:
        checked(form)
    assert (refused.value.error["param"], refused.value.error.get("code"), refused.value.stored) == (param, code, False)


def test_a_required_parameter_is_missed() -> None:
    with pytest.raises(Invalid) as refused:
        checked("", "url! names:texts!")
    assert (refused.value.error["code"], refused.value.error["param"]) == ("parameter_missing", "url")
