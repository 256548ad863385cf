"""The conversation: the ordered items, what each of them says, and what of it was heard."""

from .conversation import ROOT, Conversation, Misplaced, Placement
from .items import item_status
from .nodes import Held, Node, Record, Status, Taken
from .order import ItemsView
from .state import ConversationState
from .text import STREAM_CHARGE, Cut, PartText, Transcription, heard_prefix

__all__ = [
    "ROOT",
    "STREAM_CHARGE",
    "Conversation",
    "ConversationState",
    "Cut",
    "Held",
    "ItemsView",
    "Misplaced",
    "Node",
    "PartText",
    "Placement",
    "Record",
    "Status",
    "Taken",
    "Transcription",
    "heard_prefix",
    "item_status",
]
