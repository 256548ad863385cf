"""A Realtime server on the engine's server role: it accepts sockets and lets a *brain* answer.

    server = await antiphon_server.serve("parrot", port=8000)
    print(server.url)

`serve` takes "parrot", a `Script` (`load_script`), or a function that makes a `Brain` of your own.
"""

from antiphon_asyncio import Server, ServerConnection

from .brain import Brain, BrainFactory, Drop, Pause, Scene, Step
from .parrot import Parrot
from .runner import Runner
from .script import Newest, Script, ScriptError, ToolOutput, UserTurn, load_script, parse_script, welcome_script
from .scripted import Scripted
from .server import BrainChoice, serve
from .vad import EnergyDetector, SpeechDetector, SpeechStarted, SpeechStopped, VoiceActivity

__all__ = [
    "Brain",
    "BrainChoice",
    "BrainFactory",
    "Drop",
    "EnergyDetector",
    "Newest",
    "Parrot",
    "Pause",
    "Runner",
    "Scene",
    "Script",
    "ScriptError",
    "Scripted",
    "Server",
    "ServerConnection",
    "SpeechDetector",
    "SpeechStarted",
    "SpeechStopped",
    "Step",
    "ToolOutput",
    "UserTurn",
    "VoiceActivity",
    "load_script",
    "parse_script",
    "serve",
    "welcome_script",
]
