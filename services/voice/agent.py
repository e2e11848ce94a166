"""What Voice listens to and which conversation an event belongs to.

Events: com.twilio.message.received (those nobody owns), com.twilio.message.status, com.twilio.call.completed,
com.elevenlabs.post_call_transcription.
"""

from __future__ import annotations

from services.voice.graph import graph
from services.voice.offline import policy
from services.voice.prompts import SYSTEM
from shared.bus.envelope import Message
from shared.runtime.agent import AgentSpec


def conversation(event: Message) -> str:
    """One conversation per phone number, or per call."""
    data = event.data
    if event.type == "com.twilio.message.received":
        return f"sms:{data.get('From')}"
    if event.type == "com.elevenlabs.post_call_transcription":
        return f"call:{data.get('data', data).get('conversation_id', event.id)}"
    return f"sms:{data.get('To')}" if "MessageSid" in data else f"call:{data.get('CallSid', event.id)}"


VOICE = AgentSpec("voice", "voice", SYSTEM, conversation, graph, policy)
