"""How a client reads what a server says: one handler for each event, and the functions of the tables they step.

A handler finds the object that its event is about, steps it, and leaves. What the step leads to is in the classes named
after the tables (`ResponseRules` for ``spec/machines/response.toml``, …): guards read, effects act, neither raises. An
event about something that does not exist steps a fresh object in its ``absent`` state: the table says what that means.
"""
