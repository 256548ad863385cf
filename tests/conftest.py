"""One run of the tests is like the next: a property that fails, fails for everybody, and what is covered stays covered.

``ANTIPHON_EXAMPLES`` (see ``laws/conftest.py``) is for looking elsewhere: then every property is tried at random.
"""

from __future__ import annotations

import os
import signal

from hypothesis import settings

settings.register_profile("antiphon", deadline=None, derandomize="ANTIPHON_EXAMPLES" not in os.environ)
settings.load_profile("antiphon")

# A shell that puts a job into the background has it ignore SIGINT, and a program inherits that: the tests that
# interrupt one would wait for ever. A handler of ours is the default again in the programs we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
