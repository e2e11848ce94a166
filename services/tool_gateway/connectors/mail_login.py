"""How the business's mail account is logged in to, for sending and for reading: by OAuth 2.0 where a client is set (Google and
Microsoft take nothing else from programs, as XOAUTH2), else by user and password."""

from __future__ import annotations

from services.tool_gateway.catalogue.tools import Credential, OAuth
from services.tool_gateway.wire.credentials import Secrets, tell_secrets
from services.tool_gateway.wire.oauth import Tokens
from shared.redaction import Redactions

OAUTH = Credential(
    "oauth2",
    ("MAIL_OAUTH_CLIENT_ID", "MAIL_OAUTH_CLIENT_SECRET", "MAIL_OAUTH_REFRESH_TOKEN"),
    oauth=OAuth("refresh_token", "", "MAIL_OAUTH_TOKEN_URL", "form"),
)


class Account:
    """The account. `plain`: user and password."""

    def __init__(self, plain: Credential, secrets: Secrets, redactions: Redactions, tokens: Tokens | None) -> None:
        self._plain, self._secrets, self._redactions, self._tokens = plain, secrets, redactions, tokens

    @property
    def user(self) -> str:
        """Raises BadInput when it is not set."""
        return self._secrets.get(self._plain.secrets[0])

    @property
    def password(self) -> str:
        """Raises BadInput when it is not set."""
        tell_secrets(self._plain, self._secrets, self._redactions)
        return self._secrets.get(self._plain.secrets[1])

    async def token(self) -> str | None:
        """An access token; None where password and user are used. Raises NotSent when none can be had."""
        if self._tokens is None or credential_of(self._plain, self._secrets) is not OAUTH:
            return None
        return await self._tokens.get(OAUTH, self._redactions)

    def refused(self, token: str | None) -> bool:
        """The server does not take the login: whether another token is worth a try."""
        return token is not None and self._tokens is not None and self._tokens.refused(OAUTH, token)


def credential_of(plain: Credential, secrets: Secrets) -> Credential:
    return OAUTH if secrets.or_none(OAUTH.secrets[0]) else plain
