"""The router: who is called, in which order, and what one that raises does to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
import trio

from antiphon import messages as m
from antiphon.toolkit import Category, HandlerFailure, Router, ServerEventType

TEXT = m.ResponseOutputTextDelta(response_id="r", item_id="i", output_index=0, content_index=0, delta="a")
CLEARED = m.InputAudioBufferCleared()


def noting(seen: list[str], word: str) -> Callable[[object], None]:
    return lambda _event: seen.append(word)


def test_a_handler_hears_the_events_of_its_type() -> None:
    router = Router[m.ServerEvent]()
    seen: list[object] = []
    router.on("response.output_text.delta", seen.append)
    router.route(TEXT)
    router.route(CLEARED)
    assert seen == [TEXT]


@pytest.mark.parametrize("name", ["response.text.delta", ServerEventType.RESPONSE_OUTPUT_TEXT_DELTA])
def test_a_type_may_be_written_in_either_dialect(name: str) -> None:
    router = Router[m.ServerEvent]()
    seen: list[object] = []
    router.on(name, seen.append)
    router.route(TEXT)
    assert seen == [TEXT]


def test_an_event_is_found_under_the_name_it_shows() -> None:
    class Beta:
        type = "response.text.delta"

    router = Router[Beta]()
    seen: list[object] = []
    router.on("response.output_text.delta", seen.append)
    event = Beta()
    router.route(event)
    assert seen == [event]


def test_the_order_is_all_then_category_then_prefix_then_type() -> None:
    router = Router[m.ServerEvent]()
    seen: list[str] = []
    router.on(TEXT.type, noting(seen, "type"))
    router.on_prefix("response.output", noting(seen, "prefix"))
    router.on_category("response", noting(seen, "category"))
    router.on_all(noting(seen, "all"))
    router.route(TEXT)
    assert seen == ["all", "category", "prefix", "type"]


def test_a_higher_priority_is_called_first_whatever_it_hears() -> None:
    router = Router[m.ServerEvent]()
    seen: list[str] = []
    router.on_all(noting(seen, "all"))
    router.on(TEXT.type, noting(seen, "late"), priority=-1)
    router.on(TEXT.type, noting(seen, "early"), priority=1)
    router.route(TEXT)
    assert seen == ["early", "all", "late"]


def test_equals_are_called_in_the_order_of_registration() -> None:
    router = Router[m.ServerEvent]()
    seen: list[str] = []
    for word in "abc":
        router.on(TEXT.type, noting(seen, word))
    router.route(TEXT)
    assert seen == ["a", "b", "c"]


def test_decorators_register_and_give_the_function_back() -> None:
    router = Router[m.ServerEvent]()
    seen: list[object] = []

    @router.on("response.output_text.delta")
    @router.on_category(Category.AUDIO_BUFFER)
    def heard(event: m.ServerEvent) -> None:
        seen.append(event)

    router.route(TEXT)
    router.route(CLEARED)
    assert seen == [TEXT, CLEARED]
    assert router.handlers_for(TEXT.type) == (heard,)


def test_once_is_once() -> None:
    router = Router[m.ServerEvent]()
    seen: list[object] = []
    registration = router.on(TEXT.type, seen.append, once=True)
    router.route(TEXT)
    router.route(TEXT)
    assert seen == [TEXT]
    assert not registration.active


def test_once_is_once_even_when_the_handler_routes_the_next_event() -> None:
    router = Router[m.ServerEvent]()
    seen: list[str] = []
    router.on_all(lambda event: router.route(event) if len(seen) < 1 and not seen.append("outer") else None)
    router.on(TEXT.type, noting(seen, "once"), once=True)
    router.route(TEXT)
    assert seen == ["outer", "once"]


def test_a_registration_can_be_ended_and_ended_again() -> None:
    router = Router[m.ServerEvent]()
    seen: list[object] = []
    registration = router.on_all(seen.append)
    registration.remove()
    registration.remove()
    router.route(TEXT)
    assert seen == []
    assert not registration.active


def test_removing_a_handler_ends_all_its_registrations() -> None:
    router = Router[m.ServerEvent]()
    seen: list[object] = []
    router.on_all(seen.append)
    router.on(TEXT.type, seen.append)
    assert router.remove(seen.append) == 2
    assert router.remove(seen.append) == 0
    router.route(TEXT)
    assert seen == []


def test_what_a_handler_registers_hears_the_next_event() -> None:
    router = Router[m.ServerEvent]()
    seen: list[object] = []
    router.on_all(lambda _event: router.on(TEXT.type, seen.append), once=True)
    router.route(TEXT)
    assert seen == []
    router.route(TEXT)
    assert seen == [TEXT]


def test_what_a_handler_removes_is_still_called_for_this_event() -> None:
    router = Router[m.ServerEvent]()
    seen: list[object] = []
    router.on_all(lambda _event: later.remove())
    later = router.on(TEXT.type, seen.append)
    router.route(TEXT)
    router.route(TEXT)
    assert seen == [TEXT]


def broken(_event: object) -> None:
    raise ValueError("broken")


def test_one_that_raises_does_not_stop_the_others_and_the_hook_is_told() -> None:
    router = Router[m.ServerEvent]()
    seen: list[object] = []
    failures: list[HandlerFailure] = []
    router.on_category("response", broken)
    router.on(TEXT.type, seen.append)
    router.on_error(failures.append)
    router.route(TEXT)
    assert seen == [TEXT]
    (failure,) = failures
    assert (failure.event, failure.handler, failure.pattern) == (TEXT, broken, "response")
    assert str(failure.exception) == "broken"


def test_without_a_hook_what_was_raised_is_raised_together_after_the_last_handler() -> None:
    router = Router[m.ServerEvent]()
    seen: list[object] = []
    router.on_all(broken)
    router.on_all(broken)
    router.on(TEXT.type, seen.append)
    with pytest.raises(ExceptionGroup) as caught:
        router.route(TEXT)
    assert [str(each) for each in caught.value.exceptions] == ["broken", "broken"]
    assert seen == [TEXT]


def test_a_hook_that_raises_is_not_swallowed() -> None:
    router = Router[m.ServerEvent]()
    router.on_all(broken)

    @router.on_error
    def hook(_failure: HandlerFailure) -> None:
        raise KeyError("hook")

    with pytest.raises(ExceptionGroup) as caught:
        router.route(TEXT)
    assert isinstance(caught.value.exceptions[0], KeyError)


def test_an_interrupt_stops_everything() -> None:
    router = Router[m.ServerEvent]()
    seen: list[object] = []

    def interrupted(_event: object) -> None:
        raise KeyboardInterrupt

    router.on_all(interrupted)
    router.on(TEXT.type, seen.append)
    with pytest.raises(KeyboardInterrupt):
        router.route(TEXT)
    assert seen == []


def test_asynchronous_handlers_are_awaited_in_order_among_the_others() -> None:
    router = Router[m.ServerEvent]()
    seen: list[str] = []

    async def slow(_event: object) -> None:
        await trio.lowlevel.checkpoint()
        seen.append("slow")

    router.on_all(slow)
    router.on(TEXT.type, noting(seen, "quick"))
    trio.run(router.route_async, TEXT)
    assert seen == ["slow", "quick"]


def test_asynchronous_handlers_run_under_asyncio_too() -> None:
    router = Router[m.ServerEvent]()
    seen: list[object] = []

    async def slow(event: object) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    router.on(TEXT.type, slow)
    asyncio.run(router.route_async(TEXT))
    assert seen == [TEXT]


def test_a_failure_of_an_asynchronous_handler_reaches_the_hook() -> None:
    router = Router[m.ServerEvent]()
    failures: list[HandlerFailure] = []
    seen: list[object] = []

    async def fails(_event: object) -> None:
        await asyncio.sleep(0)
        raise ValueError("later")

    router.on_all(fails)
    router.on(TEXT.type, seen.append)
    router.on_error(failures.append)
    asyncio.run(router.route_async(TEXT))
    assert [str(each.exception) for each in failures] == ["later"]
    assert seen == [TEXT]


def test_a_hook_may_be_asynchronous_where_handlers_may() -> None:
    router = Router[m.ServerEvent]()
    failures: list[str] = []

    async def hook(failure: HandlerFailure) -> None:
        await asyncio.sleep(0)
        failures.append(str(failure.exception))

    router.on_all(broken)
    router.on_error(hook)
    asyncio.run(router.route_async(TEXT))
    assert failures == ["broken"]


def test_without_a_hook_what_asynchronous_handlers_raise_is_raised_and_so_is_what_a_hook_raises() -> None:
    router = Router[m.ServerEvent]()
    router.on_all(broken)
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(router.route_async(TEXT))
    assert [str(each) for each in caught.value.exceptions] == ["broken"]

    async def hook(_failure: HandlerFailure) -> None:
        raise KeyError("hook")

    router.on_error(hook)
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(router.route_async(TEXT))
    assert isinstance(caught.value.exceptions[0], KeyError)


def test_an_asynchronous_hook_where_nobody_awaits_it_loses_no_failure() -> None:
    async def hook(_failure: HandlerFailure) -> None: ...

    router = Router[m.ServerEvent]()
    router.on_all(broken)
    router.on_error(hook)
    with pytest.raises(ExceptionGroup) as caught:
        router.route(TEXT)
    (refusal,) = caught.value.exceptions
    assert "use route_async" in str(refusal)
    assert str(refusal.__context__) == "broken"


def test_an_asynchronous_handler_cannot_be_called_without_awaiting() -> None:
    router = Router[m.ServerEvent]()

    async def slow(_event: object) -> None: ...

    router.on_all(slow)
    with pytest.raises(ExceptionGroup) as caught:
        router.route(TEXT)
    assert "use route_async" in str(caught.value.exceptions[0])


def test_nor_can_one_that_returns_another_kind_of_awaitable() -> None:
    class Later:
        def __await__(self) -> Iterator[None]:
            return iter(())

    router = Router[m.ServerEvent]()
    router.on_all(lambda _event: Later())
    with pytest.raises(ExceptionGroup) as caught:
        router.route(TEXT)
    assert "use route_async" in str(caught.value.exceptions[0])


def test_once_is_once_for_asynchronous_handlers_too() -> None:
    router = Router[m.ServerEvent]()
    seen: list[object] = []

    async def again(_event: object) -> None:
        if len(seen) < 3:
            seen.append("routed within")
            await router.route_async(TEXT)

    async def one(event: object) -> None:
        seen.append(event)

    router.on_all(again)
    router.on(TEXT.type, one, once=True)
    asyncio.run(router.route_async(TEXT))
    assert seen.count(TEXT) == 1
    assert router.handlers_for(TEXT.type) == (again,)


def test_a_registration_says_whose_it_is_and_what_it_hears() -> None:
    router = Router[m.ServerEvent]()
    assert repr(router.on(TEXT.type, broken)) == f"<Registration of broken for {TEXT.type!r}>"
    assert repr(router.on_all([].append)) == "<Registration of list.append for 'all events'>"


def test_a_handler_that_is_cancelled_takes_the_rest_with_it() -> None:
    router = Router[m.ServerEvent]()
    seen: list[object] = []

    async def endless(_event: object) -> None:
        await asyncio.sleep(60)

    router.on_all(endless)
    router.on(TEXT.type, seen.append)

    async def main() -> None:
        task = asyncio.ensure_future(router.route_async(TEXT))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert seen == []


def test_a_peer_that_invents_types_does_not_fill_the_memory() -> None:
    class Invented:
        def __init__(self, number: int) -> None:
            self.type = f"vendor.{number}"

    router = Router[Invented]()
    seen: list[object] = []
    router.on_prefix("vendor.", seen.append)
    for number in range(2000):
        router.route(Invented(number))
    assert len(seen) == 2000
    assert len(router._found) <= 512


@pytest.mark.parametrize("pattern", ["", "nothing"])
def test_a_category_that_does_not_exist_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a valid Category"):
        Router[m.ServerEvent]().on_category(pattern, print)


def test_an_empty_prefix_is_refused() -> None:
    with pytest.raises(ValueError, match="use on_all"):
        Router[m.ServerEvent]().on_prefix("", print)


def test_what_cannot_be_called_is_no_handler() -> None:
    with pytest.raises(TypeError, match="not callable"):
        Router[m.ServerEvent]().on("error", 1)  # type: ignore[call-overload]
