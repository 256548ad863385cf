"""What a conversation looks like: plain lines anywhere, a live view in a terminal that has `rich`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from antiphon_cli.console import Console, clean

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

__all__ = ["LiveScreen", "PlainScreen", "Screen", "View", "screen_for"]

_LABEL_WIDTH: Final = 10
_FACT_WIDTH: Final = 15
_BESIDE_METERS: Final = 24
_BARS: Final = " ▁▂▃▄▅▆▇█"
_PLAIN_BARS: Final = " .:-=+*#%"
_STYLES: Final = {"you": "cyan", "assistant": "green", "tool": "yellow", "cut": "magenta", "error": "red"}


class View(NamedTuple):
    """One moment: what is being said, how much of the answer was heard (a fraction), how loud both sides are (the
    newest last, 0 to 1), and what is going on."""

    seconds: float
    state: str
    user: str = ""
    assistant: str = ""
    heard: float = 1.0
    user_levels: tuple[float, ...] = ()
    assistant_levels: tuple[float, ...] = ()


class Screen(Protocol):
    """Where a conversation is shown."""

    def line(self, who: str, text: str, remark: str = "") -> None:
        """Something is complete: it stays."""
        ...

    def fact(self, label: str, text: str) -> None:
        """A row of the summary."""
        ...

    def show(self, view: View) -> None:
        """This is how it stands; the next one takes its place."""
        ...

    def close(self) -> None:
        """Nothing moves any more; lines may still come."""
        ...


class PlainScreen:
    """Lines, and no control character: for pipes, logs and simple terminals. What grows is not shown."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, who: str, text: str, remark: str = "") -> None:
        self._console.out(f"{who:<{_LABEL_WIDTH}}{_joined(text, remark)}".rstrip())

    def fact(self, label: str, text: str) -> None:
        self._console.out(f"{label:<{_FACT_WIDTH}}{clean(text)}".rstrip())

    def show(self, view: View) -> None:
        """Nothing: a line cannot grow."""

    def close(self) -> None:
        """Nothing to put away."""


class LiveScreen:
    """Lines above, and below them what is being said, who says it, and how loud. Any width; long texts are wrapped."""

    def __init__(self, console: Console) -> None:
        from rich.console import Console as RichConsole
        from rich.live import Live

        self._rich = RichConsole(file=console.stdout, highlight=False, markup=False, emoji=False)
        self._bars = _BARS if self._rich.encoding.startswith("utf") else _PLAIN_BARS
        self._live: Live | None = Live(console=self._rich, auto_refresh=False, transient=True)
        self._live.start()

    def line(self, who: str, text: str, remark: str = "") -> None:
        from rich.text import Text

        said = Text(clean(text))
        if remark:
            said.append((" " if text else "") + clean(remark), "dim")
        self._rich.print(_row((who, _STYLES.get(who, "")), said))

    def fact(self, label: str, text: str) -> None:
        from rich.text import Text

        self._rich.print(_row((label, ""), Text(clean(text)), width=_FACT_WIDTH))

    def show(self, view: View) -> None:
        if self._live is not None:
            self._live.update(self._render(view), refresh=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _render(self, view: View) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        rows: list[RenderableType] = []
        if view.user:
            rows.append(_row(("you", "cyan"), Text(clean(view.user))))
        if view.assistant:
            text = clean(view.assistant)
            heard = round(len(text) * view.heard)
            rows.append(_row(("assistant", "green"), Text(text[:heard]).append(text[heard:], "dim")))
        minutes, seconds = divmod(int(view.seconds), 60)
        meters = Text(f"{minutes}:{seconds:02}  ", "dim", no_wrap=True, overflow="crop")
        length = max(1, (self._rich.width - _BESIDE_METERS) // 2)
        meters.append("you ").append(self._meter(view.user_levels[-length:]), "cyan")
        meters.append("  assistant ").append(self._meter(view.assistant_levels[-length:]), "green")
        rows.append(meters)
        rows.append(Text(view.state, "dim"))
        return Group(*rows)

    def _meter(self, levels: tuple[float, ...]) -> str:
        return "".join(self._bars[round(each * (len(self._bars) - 1))] for each in levels)


def _row(label: tuple[str, str], text: RenderableType, *, width: int = _LABEL_WIDTH) -> RenderableType:
    """A label, and a text that is wrapped beside it, not below it."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=0)
    grid.add_column(width=width)
    grid.add_column(overflow="fold")
    grid.add_row(Text(label[0], f"bold {label[1]}".strip()), text)
    return grid


def _joined(text: str, remark: str) -> str:
    return clean(" ".join(part for part in (text, remark) if part))


def screen_for(console: Console) -> Screen:
    """The live view where somebody watches a terminal that can move its cursor, and `rich` is there; else plain
    lines."""
    if console.is_terminal:
        try:
            from rich.console import Console as RichConsole
        except ImportError:
            return PlainScreen(console)
        if not RichConsole(file=console.stdout).is_dumb_terminal:
            return LiveScreen(console)
    return PlainScreen(console)
