"""The engine: protocol semantics. Inputs carry time, every call returns its actions (``docs/design.md``)."""
