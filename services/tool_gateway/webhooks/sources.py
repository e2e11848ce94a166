"""Who may send webhooks here: our vendors, and what a configuration adds. A source without its secret is not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from services.tool_gateway.webhooks import reading
from services.tool_gateway.webhooks.reading import Read
from services.tool_gateway.webhooks.schemes import (
    airtable,
    elevenlabs,
    hubspot,
    quickbooks,
    shared_secret,
    stripe,
    twilio,
)
from services.tool_gateway.webhooks.schemes.proof import Verify
from services.tool_gateway.wire.credentials import Secrets
from shared.redaction import Redactor

JSON = "application/json"
SCOPE = "webhooks"  # of the redactor


def _any_secret(secret: str) -> None:
    """Every text can be one."""


@dataclass(frozen=True, slots=True)
class Source:
    """A sender. `secrets` are settings, each with one secret or several, newest first, separated by commas."""

    name: str
    scheme: str
    secrets: tuple[str, ...]
    verify: Verify
    read: Read
    content_types: frozenset[str] = frozenset({JSON})
    check_secret: Callable[[str], None] = _any_secret  # raises ValueError

    def takes(self, content_type: str) -> bool:
        return content_type in self.content_types or (JSON in self.content_types and content_type.endswith("+json"))


BUILT_IN = (
    Source("stripe", "Stripe-Signature", ("STRIPE_WEBHOOK_SECRET",), stripe.verify, reading.stripe),
    Source(
        "twilio",
        "X-Twilio-Signature",
        ("TWILIO_WEBHOOK_AUTH_TOKEN", "TWILIO_AUTH_TOKEN"),
        twilio.verify,
        reading.from_twilio,
        frozenset({twilio.FORM, JSON}),
    ),
    Source(
        "hubspot",
        "X-HubSpot-Signature-v3",
        ("HUBSPOT_WEBHOOK_SECRET", "HUBSPOT_CLIENT_SECRET"),
        hubspot.verify,
        reading.hubspot,
    ),
    Source("quickbooks", "intuit-signature", ("QUICKBOOKS_WEBHOOK_TOKEN",), quickbooks.verify, reading.quickbooks),
    Source("elevenlabs", "ElevenLabs-Signature", ("ELEVENLABS_WEBHOOK_SECRET",), elevenlabs.verify, reading.elevenlabs),
    Source(
        "airtable",
        "X-Airtable-Content-MAC",
        ("AIRTABLE_WEBHOOK_SECRET",),
        airtable.verify,
        reading.airtable,
        check_secret=airtable.check_secret,
    ),
    Source("make", "X-Viox-Secret", ("MAKE_WEBHOOK_SECRET",), shared_secret.verify, reading.make),
    Source("n8n", "X-Viox-Secret", ("N8N_WEBHOOK_SECRET",), shared_secret.verify, reading.n8n),
)
MAIL, RFC822 = "mail", "message/rfc822"
RESERVED = frozenset({"unknown", MAIL, *(source.name for source in BUILT_IN)})


def mail(secrets: Secrets) -> Source:
    """Mails as they came, from whoever receives them for the business; and those of its mailbox, which is read."""
    read = partial(reading.mail, secrets)
    return Source(MAIL, "X-Viox-Secret", ("MAIL_WEBHOOK_SECRET",), shared_secret.verify, read, frozenset({RFC822}))


@dataclass(frozen=True, slots=True)
class Standing:
    """What can be said of a source without saying a secret."""

    source: Source
    missing: tuple[str, ...]  # none of these settings is set
    problem: str | None

    @property
    def configured(self) -> bool:
        return not self.missing and self.problem is None


class Sources:
    """The sources by name. Secrets are read for every delivery, so that a rotated one is used at once."""

    def __init__(self, custom: Sequence[Source], secrets: Secrets, redactor: Redactor) -> None:
        self._by_name: Mapping[str, Source] = {source.name: source for source in (*BUILT_IN, mail(secrets), *custom)}
        self._secrets = secrets
        self._redactor = redactor

    def get(self, name: str) -> Source | None:
        return self._by_name.get(name)

    def secrets_of(self, source: Source) -> list[str]:
        """The secrets that can be used, newest first. Raises BadInput when a file with one cannot be read."""
        found = []
        for name in source.secrets:
            for secret in _several(self._secrets.or_none(name)):
                self._redactor.tell(SCOPE, name, secret)
                if _problem(source, secret) is None:
                    found.append(secret)
        return found

    def standing(self, source: Source) -> Standing:
        """Raises BadInput when a file with a secret cannot be read."""
        given = [(name, s) for name in source.secrets for s in _several(self._secrets.or_none(name))]
        wrong = next((f"{name}: {why}" for name, secret in given if (why := _problem(source, secret))), None)
        return Standing(source, () if given else source.secrets, wrong)

    def standings(self) -> list[Standing]:
        return [self.standing(source) for source in self._by_name.values()]


def _several(value: str | None) -> list[str]:
    return [one.strip() for one in (value or "").split(",") if one.strip()]


def _problem(source: Source, secret: str) -> str | None:
    """Why a secret cannot be one of this source, without saying it."""
    try:
        source.check_secret(secret)
    except ValueError:
        return f"not a secret of the scheme {source.scheme}"
    return None


def load(path: str | None, secrets: Secrets, redactor: Redactor) -> Sources:
    """All sources of this gateway. Raises BadInput naming what is wrong with the configuration."""
    from services.tool_gateway.webhooks import custom

    return Sources(custom.read(Path(path)) if path else (), secrets, redactor)
