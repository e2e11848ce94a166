"""What Voice listens to and which conversation an event belongs to.

Events: com.twilio.message.received and viox.mail.received (those nobody owns), com.twilio.message.status, com.twilio.call.completed,
com.elevenlabs.post_call_transcription, com.elevenlabs.call_initiation_failure.
"""

from __future__ import annotations

from services.voice.domain import mail_place, number_of
from services.voice.graph import graph
from services.voice.offline import policy
from services.voice.prompts import SYSTEM
from shared.bus.envelope import Message
from shared.heard import heard
from shared.runtime.agent import AgentSpec


def conversation(event: Message) -> str:
    """One conversation for each phone number: its calls and its messages; and for each mail address. A call of an unknown number
    is one by itself, and so is a mail that anybody may have written."""
    data = event.data
    if (said := heard(event.type, data)) and said.channel == "mail":
        return mail_place(said, event.id)
    if number := number_of(event.type, data):
        return f"phone:{number}"
    if event.type.startswith("com.elevenlabs."):
        return f"call:{data.get('data', data).get('conversation_id', event.id)}"
    return f"call:{data.get('CallSid', event.id)}"


VOICE = AgentSpec("voice", SYSTEM, conversation, graph, policy)
