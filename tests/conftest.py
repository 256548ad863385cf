"""One run of the tests is like the next: a property that fails, fails for everybody, and what is covered stays covered.

``ANTIPHON_EXAMPLES`` (see ``laws/conftest.py``) is for looking elsewhere: then every property is tried at random.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("antiphon", deadline=None, derandomize="ANTIPHON_EXAMPLES" not in os.environ)
settings.load_profile("antiphon")
