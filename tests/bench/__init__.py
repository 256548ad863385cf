"""The budgets of the engine as ratios, all measured in one run: ``python tests/bench/run.py``.

Nanoseconds belong to a machine, ratios to the code. So every row times the engine and a named peer (or the sum of what
nobody can do without, the *floor*) in turn, round by round, and reports the median of the rounds' ratios.
"""
