"""Formats numbers for the verdict's sentence, tables and reports."""

from __future__ import annotations

from limbeck.evaluation.statistics import Interval

NONE = "–"


def number(value: float, digits: int, *, sign: bool = False) -> str:
    """Fixed digits with a minus sign U+2212, and none before zero."""
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0:
        text = f"{0:.{digits}f}"
    return text.replace("-", "−")


def percent(value: float | None, digits: int = 1) -> str:
    return NONE if value is None else f"{number(100 * value, digits)} %"


def measured(value: float | None, ci95: Interval | None = None, *, as_percent: bool = True, digits: int = 2) -> str:
    """A metric with its interval: `71.24 % [70.31, 72.10]`, or `0.7124 [0.7031, 0.7210]` if it is no percentage."""
    if value is None:
        return NONE
    scale, digits = (100.0, digits) if as_percent else (1.0, digits + 2)
    text = number(scale * value, digits) + (" %" if as_percent else "")
    return text if ci95 is None else f"{text} {_bracket(ci95, scale, digits)}"


def difference(value: float, ci95: Interval, *, as_percent: bool = True) -> str:
    """A gain with its interval: `+1.9 points [1.2, 2.6]`; one more digit if an end of the interval would round to zero."""
    scale, digits, unit = (100.0, 1, " points") if as_percent else (1.0, 3, "")
    if 0 < scale * min(map(abs, ci95)) < 0.5 * 10**-digits:
        digits += 1
    return f"{number(scale * value, digits, sign=True)}{unit} {_bracket(ci95, scale, digits)}"


def _bracket(ci95: Interval, scale: float, digits: int) -> str:
    return f"[{number(scale * ci95[0], digits)}, {number(scale * ci95[1], digits)}]"


def p_value(p: float) -> str:
    """`= 0.03`, or `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def relative_size(ratio: float) -> str:
    """The size of a student whose teacher is `ratio` times as large: `at 1/11 of its size`."""
    if ratio >= 9.95:
        return f"at 1/{ratio:.0f} of its size"
    if ratio >= 1.05:
        return f"at 1/{ratio:.1f} of its size"
    return "at its size" if ratio > 0.95 else f"at {1 / ratio:.1f} times its size"


def times(ratio: float | None) -> str:
    return NONE if ratio is None else f"{ratio:.1f}×"


def count(value: float | None) -> str:
    """`11.2 M`: three significant digits with a prefix."""
    return NONE if value is None else _scaled(value, 1000, ("", " k", " M", " G", " T"))


def size(value: float | None) -> str:
    """Bytes in powers of 1,000: `44.7 kB`."""
    return NONE if value is None else _scaled(value, 1000, (" B", " kB", " MB", " GB", " TB"))


def milliseconds(value: float | None) -> str:
    return NONE if value is None else f"{_digits(value)} ms"


def _scaled(value: float, base: float, units: tuple[str, ...]) -> str:
    power = 0
    while abs(value) >= 0.9995 * base and power < len(units) - 1:
        value, power = value / base, power + 1
    return (_digits(value) if power else f"{value:.0f}") + units[power]


def _digits(value: float) -> str:
    """Three significant digits without an exponent."""
    return f"{value:.{2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0}f}"
