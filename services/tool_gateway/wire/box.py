"""The key with which the gateway seals what it has to keep and nobody else may read."""

from __future__ import annotations

from cryptography.fernet import Fernet, MultiFernet

from services.tool_gateway.wire.credentials import Secrets
from shared.errors import BadInput

KEY_NAME = "VIOX_SECRET_KEY"


def box_of(secrets: Secrets) -> MultiFernet:
    """Seals with the newest key and opens with any. Raises BadInput when there is none, or it is none."""
    try:
        return MultiFernet([Fernet(key) for key in secrets.get(KEY_NAME).split(",")])
    except ValueError as error:
        raise BadInput(
            "settings.invalid",
            "not a Fernet key.",
            field=KEY_NAME,
            remedy="Make one with `openssl rand -base64 32 | tr +/ -_`; several, newest first, are separated by commas.",
        ) from error
