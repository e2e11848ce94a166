"""ElevenLabs: `ElevenLabs-Signature: t=,v0=`. Half an hour, as their own check allows: transcripts can take a while."""

from __future__ import annotations

from collections.abc import Sequence

from services.tool_gateway.webhooks.schemes import timestamped
from services.tool_gateway.webhooks.schemes.proof import Incoming, Verdict

PAST_SECONDS = 1800


def verify(request: Incoming, secrets: Sequence[str], now: float) -> Verdict:
    return timestamped.verify(
        request, secrets, now, header="elevenlabs-signature", scheme="v0", past_seconds=PAST_SECONDS
    )
