"""A server that says one long text to one client: ``send.py EVENTS PAUSE_MS``. The first line it prints is its port.

With a pause of 0 the frames are made before and written as fast as the socket takes them; with another, one delta each
pause. Only the receiving side is measured, so this side knows nothing but frames.
"""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from websockets.http11 import Request
from websockets.server import ServerProtocol

sys.path.insert(0, str(Path(__file__).parents[2]))  # `tests`

from bench.samples import CREATED, PLACE, RESPONSE_ID, TEXT_DELTA, TEXT_PART, beginning, frame, text_of

CHUNK = 1 << 18
PATIENCE_S = 60.0


def main(events: int, pause_ms: int) -> None:
    """Serve one client, then end."""
    done = {
        "object": "realtime.response",
        "id": RESPONSE_ID,
        "status": "completed",
        "conversation_id": "conv_1",
        "output": [
            {"id": PLACE["item_id"], "type": "message", "status": "completed", "role": "assistant", "content": []}
        ],
        "usage": {"total_tokens": 1, "input_tokens": 1, "output_tokens": 0},
    }
    before = b"".join(map(frame, (CREATED, *beginning(TEXT_PART))))
    after = frame(text_of({"type": "response.done", "response": done}))
    delta = frame(TEXT_DELTA)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        client, _address = listener.accept()
        with client:
            client.settimeout(PATIENCE_S)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _shake_hands(client)
            if pause_ms:
                client.sendall(before)
                for _ in range(events):
                    time.sleep(pause_ms / 1000)
                    client.sendall(delta)
                client.sendall(after)
            else:
                everything = before + delta * events + after
                for start in range(0, len(everything), CHUNK):
                    client.sendall(everything[start : start + CHUNK])
            client.recv(1 << 16)  # it has read all and says goodbye


def _shake_hands(client: socket.socket) -> None:
    protocol = ServerProtocol()
    while True:
        protocol.receive_data(client.recv(1 << 16))
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
                client.sendall(b"".join(protocol.data_to_send()))
                return


if __name__ == "__main__":
    with suppress(OSError):  # the client may go as it pleases
        main(int(sys.argv[1]), int(sys.argv[2]))
