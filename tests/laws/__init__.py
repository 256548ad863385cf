"""The twelve laws of the engine (`docs/design.md`), as Hypothesis properties over the public API.

``link.py`` plays whole conversations between two engines over a virtual link, ``strategies.py`` draws what is played,
``machine.py`` is the same as a state machine. Each ``test_lNN_….py`` holds one law: a function ``check_lNN`` that says
what the law demands of one example, and the properties that call it. ``test_of_the_tests.py`` calls the same functions
with an engine that was broken on purpose, and expects them to fail.
"""
