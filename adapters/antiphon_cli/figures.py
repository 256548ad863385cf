"""The figures that stand above a timeline: the few numbers that say how a session went."""

from __future__ import annotations

from msgspec import Struct

from antiphon import Cost
from antiphon.toolkit import Analysis, Summary

__all__ = ["Figure", "amount", "counted", "figures_of", "seconds"]


class Figure(Struct, frozen=True):
    """A number with its name, and what to know beside it; ``bad`` where something went wrong."""

    label: str
    value: str
    beside: str = ""
    bad: bool = False


def figures_of(analysis: Analysis, broken: int, cost: Cost | None) -> list[Figure]:
    """Those that there is something to say of."""
    responses = ", ".join(f"{count:,} {status}" for status, count in list(analysis.responses.items())[:4])
    figures = [Figure("User turns", f"{analysis.turns:,}", f"{responses} responses" if responses else "no response")]
    if analysis.voice_latency.count:
        figures.append(_waiting("Turn to first sound", analysis.voice_latency))
    elif analysis.turn_latency.count:
        figures.append(_waiting("Turn to first word", analysis.turn_latency))
    if analysis.time_to_first_token.count:
        figures.append(_waiting("First token", analysis.time_to_first_token))
    heard = ""
    if analysis.cut_received_ms:
        share = 100 * analysis.cut_heard_ms / analysis.cut_received_ms
        heard = f"{seconds(analysis.cut_heard_ms)} of {seconds(analysis.cut_received_ms)} heard ({share:.0f} %)"
    figures.append(Figure("Interruptions", f"{analysis.interruptions:,}", heard))
    if analysis.audio_received_ms:
        sent = f"{seconds(analysis.audio_sent_ms)} sent" if analysis.audio_sent_ms else ""
        figures.append(Figure("Audio received", seconds(analysis.audio_received_ms), sent))
    if analysis.tools:
        calls = ", ".join(f"{count:,} {name}" for name, count in list(analysis.tools.items())[:4])
        figures.append(Figure("Tool calls", f"{sum(analysis.tools.values()):,}", calls))
    usage = analysis.usage
    if usage.total_tokens:
        cached = f", {usage.cached_tokens:,} cached" if usage.cached_tokens else ""
        told = f"{usage.input_tokens:,} in{cached}, {usage.output_tokens:,} out"
        figures.append(Figure("Tokens", f"{usage.total_tokens:,}", told))
    if cost is not None:
        figures.append(Figure("Cost", amount(cost), "" if cost.complete else "without what has no price"))
    failed = sum(analysis.errors.values())
    wrong = [f"{count:,} {what.partition(': ')[2]}" for what, count in list(analysis.errors.items())[:3]]
    if broken:
        wrong.append(f"{counted(broken, 'broken rule')}")
    figures.append(Figure("Errors", f"{failed + broken:,}", ", ".join(wrong), bad=bool(failed + broken)))
    return figures


def amount(cost: Cost) -> str:
    """An amount of money: as many digits as it has."""
    return f"{cost.amount.normalize():f} {cost.currency}"


def counted(count: int, noun: str) -> str:
    """``1 event``, ``2 events``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def seconds(ms: float) -> str:
    """A duration for people."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes, rest = divmod(round(ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _waiting(label: str, summary: Summary) -> Figure:
    spread = "" if summary.count == 1 else f"p90 {_ms(summary.p90)}, longest {_ms(summary.max)}"
    return Figure(label, f"{_ms(summary.p50)} ms", spread)


def _ms(value: float | None) -> str:
    return f"{value:,.0f}" if value is not None else ""
