"""The router: which functions hear of which event.

Handlers are found once a type and then kept, so routing an event costs a look-up and the calls. They are called one
after another, in this order, which is the whole of the promise:

1. by ``priority``, the highest first;
2. of the same priority: those for all events, then for a category, then for a prefix, then for the exact type;
3. of the same kind: in the order in which they were registered.

`Router.route` calls functions; `Router.route_async` also awaits what they return, each before the next is called. It
awaits with nothing but the language, so it runs under asyncio, trio or anything else. What happens while an event is
routed (a handler that registers another, removes itself, or routes an event of its own) takes effect with the next.

A handler that raises stops no other. What it raised goes to the hook of `Router.on_error`, which is awaited where
handlers are; without one, all that was raised is raised together, as an `ExceptionGroup`, after the last handler: an
error that nobody reads is no service.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from inspect import isawaitable, iscoroutine
from typing import Any, Final, Generic, NoReturn, Protocol, TypeVar, overload

from msgspec import Struct

from antiphon.toolkit.event_types import Category, canonical, categories_of

__all__ = ["HandlerFailure", "Registration", "Router", "Typed"]


class Typed(Protocol):
    """Anything with a ``type``: an event of `antiphon.messages`, or one of yours."""

    @property
    def type(self) -> str: ...


E = TypeVar("E", bound=Typed, contravariant=True)
F = TypeVar("F", bound=Callable[..., object])

_ALL, _CATEGORY, _PREFIX, _EXACT = range(4)
_KNOWN_TYPES: Final = 512
"""So many types keep their handlers at hand; a peer that invents more has them looked up again."""


class HandlerFailure(Struct, frozen=True):
    """A handler raised: what it was called for, where it was registered, what it raised."""

    event: Any
    handler: Callable[..., object]
    pattern: str
    exception: Exception


class Registration:
    """One handler at one place; `remove` ends it, once or many times. ``pattern`` says what it hears."""

    __slots__ = ("_kind", "_order", "_router", "handler", "once", "pattern", "priority")

    def __init__(
        self,
        router: Router[Any],
        kind: int,
        pattern: str,
        handler: Callable[..., object],
        *,
        priority: int,
        once: bool,
        order: int,
    ) -> None:
        self._router: Router[Any] | None = router
        self._kind = kind
        self._order = order
        self.pattern = pattern
        self.handler = handler
        self.priority = priority
        self.once = once

    @property
    def active(self) -> bool:
        """Whether the handler is still registered here."""
        return self._router is not None

    def remove(self) -> None:
        """Hear nothing more, from the next event on."""
        router, self._router = self._router, None
        if router is not None:
            router._forget(self)

    def _hears(self, event_type: str, categories: frozenset[str]) -> bool:
        match self._kind:
            case 0:
                return True
            case 1:
                return self.pattern in categories
            case 2:
                return event_type.startswith(self.pattern)
            case _:
                return event_type == self.pattern

    @property
    def _rank(self) -> tuple[int, int, int]:
        return -self.priority, self._kind, self._order

    def __repr__(self) -> str:
        return f"<Registration of {_name(self.handler)} for {self.pattern or 'all events'!r}>"


class Router(Generic[E]):
    """Calls the handlers that were registered for an event's type, its categories, its prefixes, or for everything.

    Types may be written in either dialect; an event is found under both of its names.
    """

    def __init__(self) -> None:
        self._registered: list[Registration] = []
        self._found: dict[str, tuple[Registration, ...]] = {}
        self._hook: Callable[[HandlerFailure], object] | None = None
        self._count = 0

    # -- registering ---------------------------------------------------------------------------------------------------

    @overload
    def on(self, event_type: str, *, priority: int = 0, once: bool = False) -> Callable[[F], F]: ...
    @overload
    def on(
        self, event_type: str, handler: Callable[..., object], *, priority: int = 0, once: bool = False
    ) -> Registration: ...
    def on(
        self, event_type: str, handler: Callable[..., object] | None = None, *, priority: int = 0, once: bool = False
    ) -> Registration | Callable[[F], F]:
        """Hear of the events of one type (`ServerEventType` or a string, of either dialect).

        With a handler it is registered; without one this is a decorator. ``once``: for one event only.
        """
        return self._register(_EXACT, canonical(event_type), handler, priority, once)

    @overload
    def on_category(self, category: str, *, priority: int = 0, once: bool = False) -> Callable[[F], F]: ...
    @overload
    def on_category(
        self, category: str, handler: Callable[..., object], *, priority: int = 0, once: bool = False
    ) -> Registration: ...
    def on_category(
        self, category: str, handler: Callable[..., object] | None = None, *, priority: int = 0, once: bool = False
    ) -> Registration | Callable[[F], F]:
        """Hear of the events of a `Category`. Raises ValueError for one that does not exist."""
        return self._register(_CATEGORY, Category(category), handler, priority, once)

    @overload
    def on_prefix(self, prefix: str, *, priority: int = 0, once: bool = False) -> Callable[[F], F]: ...
    @overload
    def on_prefix(
        self, prefix: str, handler: Callable[..., object], *, priority: int = 0, once: bool = False
    ) -> Registration: ...
    def on_prefix(
        self, prefix: str, handler: Callable[..., object] | None = None, *, priority: int = 0, once: bool = False
    ) -> Registration | Callable[[F], F]:
        """Hear of the events whose GA type begins with ``prefix``. Raises ValueError for an empty one."""
        if not prefix:
            raise ValueError("an empty prefix fits every event: use on_all")
        return self._register(_PREFIX, str(prefix), handler, priority, once)

    @overload
    def on_all(self, *, priority: int = 0, once: bool = False) -> Callable[[F], F]: ...
    @overload
    def on_all(self, handler: Callable[..., object], *, priority: int = 0, once: bool = False) -> Registration: ...
    def on_all(
        self, handler: Callable[..., object] | None = None, *, priority: int = 0, once: bool = False
    ) -> Registration | Callable[[F], F]:
        """Hear of every event."""
        return self._register(_ALL, "", handler, priority, once)

    def on_error(self, hook: Callable[[HandlerFailure], object]) -> Callable[[HandlerFailure], object]:
        """What is to hear of handlers that raise, one hook a router; usable as a decorator. It may be asynchronous
        where handlers may (`route_async`). What the hook itself raises is raised after the last handler."""
        self._hook = hook
        return hook

    def remove(self, handler: Callable[..., object]) -> int:
        """End every registration of ``handler``; answers how many there were."""
        mine = [each for each in self._registered if each.handler == handler]
        for each in mine:
            each.remove()
        return len(mine)

    def handlers_for(self, event_type: str) -> tuple[Callable[..., object], ...]:
        """What would be called for an event of this type, in order."""
        return tuple(each.handler for each in self._found.get(event_type) or self._find(event_type))

    def _register(
        self, kind: int, pattern: str, handler: Callable[..., object] | None, priority: int, once: bool
    ) -> Registration | Callable[[F], F]:
        if handler is None:

            def decorate(decorated: F) -> F:
                self._register(kind, pattern, decorated, priority, once)
                return decorated

            return decorate
        if not callable(handler):
            raise TypeError(f"a handler is called with the event; {type(handler).__name__} is not callable")
        self._count += 1
        registration = Registration(self, kind, pattern, handler, priority=priority, once=once, order=self._count)
        self._registered.append(registration)
        self._found.clear()
        return registration

    def _forget(self, registration: Registration) -> None:
        self._registered.remove(registration)
        self._found.clear()

    def _find(self, event_type: str) -> tuple[Registration, ...]:
        name = canonical(event_type)
        categories: frozenset[str] = frozenset(categories_of(name))
        found = tuple(
            sorted((each for each in self._registered if each._hears(name, categories)), key=lambda each: each._rank)
        )
        if len(self._found) >= _KNOWN_TYPES:
            self._found.clear()
        self._found[event_type] = found
        return found

    # -- routing -------------------------------------------------------------------------------------------------------

    def route(self, event: E) -> None:
        """Call the handlers of ``event``. For functions only: one that returns an awaitable has failed (`TypeError`).

        Raises `ExceptionGroup` with what handlers raised, when there is no hook.
        """
        found = self._found.get(event.type)
        if found is None:
            found = self._find(event.type)
        failures: list[Exception] | None = None
        for each in found:
            try:
                if each.once:
                    if not each.active:
                        continue  # an event that a handler routed meanwhile was its one
                    each.remove()
                result = each.handler(event)
                if result is not None and isawaitable(result):
                    _refuse(each.handler, result)
            except Exception as exception:
                failures = self._failed(each, event, exception, failures)
        if failures:
            raise ExceptionGroup(f"handlers of {event.type} failed", failures)

    async def route_async(self, event: E) -> None:
        """Call the handlers of ``event``, and await what they return, each before the next is called.

        Raises `ExceptionGroup` with what handlers raised, when there is no hook. Cancelling this cancels the handler
        that is being awaited, and those behind it are not called.
        """
        found = self._found.get(event.type)
        if found is None:
            found = self._find(event.type)
        failures: list[Exception] | None = None
        for each in found:
            try:
                if each.once:
                    if not each.active:
                        continue
                    each.remove()
                result = each.handler(event)
                if result is not None and isawaitable(result):
                    await result
            except Exception as exception:
                failures = await self._failed_async(each, event, exception, failures)
        if failures:
            raise ExceptionGroup(f"handlers of {event.type} failed", failures)

    def _failed(
        self, registration: Registration, event: object, exception: Exception, failures: list[Exception] | None
    ) -> list[Exception] | None:
        if self._hook is not None:
            try:
                told = self._hook(HandlerFailure(event, registration.handler, registration.pattern, exception))
                if isawaitable(told):
                    _refuse(self._hook, told)
                return failures
            except Exception as raised:
                exception = raised
        return [*(failures or ()), exception]

    async def _failed_async(
        self, registration: Registration, event: object, exception: Exception, failures: list[Exception] | None
    ) -> list[Exception] | None:
        if self._hook is not None:
            try:
                told = self._hook(HandlerFailure(event, registration.handler, registration.pattern, exception))
                if isawaitable(told):
                    await told
                return failures
            except Exception as raised:
                exception = raised
        return [*(failures or ()), exception]


def route_all(routed: Iterable[tuple[Router[Any], Any]]) -> None:
    """Route each event with its router, whatever the handlers of one before it raised; raises that when all were
    routed, as one `ExceptionGroup`."""
    failures: list[Exception] = []
    for router, event in routed:
        try:
            router.route(event)
        except ExceptionGroup as group:
            failures.extend(group.exceptions)
    if failures:
        raise ExceptionGroup("handlers failed", failures)


async def route_all_async(routed: Iterable[tuple[Router[Any], Any]]) -> None:
    """As `route_all`, and awaits what handlers return."""
    failures: list[Exception] = []
    for router, event in routed:
        try:
            await router.route_async(event)
        except ExceptionGroup as group:
            failures.extend(group.exceptions)
    if failures:
        raise ExceptionGroup("handlers failed", failures)


def _refuse(called: Callable[..., object], awaitable: Awaitable[object]) -> NoReturn:
    if iscoroutine(awaitable):
        awaitable.close()  # or the interpreter warns that it was never awaited
    raise TypeError(f"{_name(called)} is asynchronous: use route_async (feed_async of what is fed)")


def _name(handler: Callable[..., object]) -> str:
    return getattr(handler, "__qualname__", None) or type(handler).__name__
