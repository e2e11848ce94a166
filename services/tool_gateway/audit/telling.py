"""New checkpoints on their topic, for whoever keeps them where we cannot reach."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.audit.verify import Checkpoint
from shared.bus import topics
from shared.bus.envelope import Message
from shared.bus.messages import CHECKPOINT_SIGNED, GATEWAY_SOURCE, CheckpointSigned
from shared.bus.publisher import Publisher


def tell(publisher: Publisher, note: str) -> None:
    """Records of one log go to one partition. One that is not sent is followed by the next, which says more."""
    one = Checkpoint.read(note)
    data = CheckpointSigned(origin=one.origin, size=one.size, checkpoint=note).model_dump()
    name = f"{one.origin}#{one.size}"
    publisher.publish(
        topics.AUDIT_CHECKPOINTS,
        Message(name, GATEWAY_SOURCE, CHECKPOINT_SIGNED, data, datetime.now(UTC), subject=one.origin),
    )
