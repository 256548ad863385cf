"""The engine: what the peers mean. Inputs carry time, every call returns its actions (``docs/design.md``)."""
