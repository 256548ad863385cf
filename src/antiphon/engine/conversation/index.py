"""Items by id, where an id may name several."""

from __future__ import annotations

from collections.abc import Iterable

from .nodes import Node


class Index:
    """The items of each id; the newest answers to it. Items without an id are not in it."""

    __slots__ = ("_newest", "_older", "get")

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self._newest: dict[str, Node] = {}
        self._older: dict[str, dict[Node, None]] = {}  # oldest first; made when an id comes again
        self.get = self._newest.get  # bound once: every event on an item comes by here
        for node in nodes:
            self.add(node)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._newest

    def add(self, node: Node) -> None:
        """``node`` answers to its id from now on."""
        if not node.id:
            return
        older = self._newest.get(node.id)
        if older is not None:
            self._older.setdefault(node.id, {})[older] = None
        self._newest[node.id] = node

    def remove(self, node: Node) -> bool:
        """Forget ``node``. Answers whether its id, if it has one, names nothing any more."""
        older = self._older.get(node.id)
        if older is None:
            return self._newest.pop(node.id, None) is not None
        if self._newest[node.id] is node:
            self._newest[node.id] = older.popitem()[0]
        else:
            del older[node]
        if not older:
            del self._older[node.id]
        return False

    @property
    def shared(self) -> list[list[Node]]:
        """The items of each id that names several, oldest first."""
        return [[*older, self._newest[item_id]] for item_id, older in self._older.items()]
