"""Dialects at the edge: inside there is only GA.

What a peer says in the beta's notation, or with the habits of a vendor, is put into GA's shape where it is read, event
by event, so that a peer may mix them; what a peer of the beta dialect is to be told is put into its shape where it is
written. Nothing of this runs for an event that fits its class as it came.
"""

from .events import read_client, read_server, write_client, write_server
from .handshake import Dialect, asked_for
from .shapes import is_flat, item_to_ga, params_to_ga, said_twice, session_to_ga

__all__ = [
    "Dialect",
    "asked_for",
    "is_flat",
    "item_to_ga",
    "params_to_ga",
    "read_client",
    "read_server",
    "said_twice",
    "session_to_ga",
    "write_client",
    "write_server",
]
