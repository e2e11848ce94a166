"""What Voice listens to and which conversation an event belongs to.

Events: com.twilio.message.received (those nobody owns), com.twilio.message.status, com.twilio.call.completed,
com.elevenlabs.post_call_transcription, com.elevenlabs.call_initiation_failure.
"""

from __future__ import annotations

from services.voice.domain import number_of
from services.voice.graph import graph
from services.voice.offline import policy
from services.voice.prompts import SYSTEM
from shared.bus.envelope import Message
from shared.runtime.agent import AgentSpec


def conversation(event: Message) -> str:
    """One conversation for each phone number: its calls and its messages. A call of an unknown number is one by itself."""
    data = event.data
    if number := number_of(event.type, data):
        return f"phone:{number}"
    if event.type.startswith("com.elevenlabs."):
        return f"call:{data.get('data', data).get('conversation_id', event.id)}"
    return f"call:{data.get('CallSid', event.id)}"


VOICE = AgentSpec("voice", SYSTEM, conversation, graph, policy)
