"""Every door of the engine and of its readers, fed with what nobody would write.

``doors.py`` says what the doors are and what may come of an input, ``corpus.py`` where the search begins, ``guided.py``
how it goes on: an input that reaches a branch that none before it reached is kept, and changed further.

``pytest tests/fuzz`` searches for some seconds, always in the same way. ``PYTHONPATH=tests python -m fuzz`` searches
for as long as it is told, with ``--atheris`` by libFuzzer, where that is installed.
"""
