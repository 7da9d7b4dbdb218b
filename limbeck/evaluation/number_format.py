"""Numbers as people read them; one spelling for the sentence, the tables and the report."""

from __future__ import annotations

from limbeck.evaluation.statistics import Interval

NONE = "–"


def number(value: float, digits: int, *, sign: bool = False) -> str:
    """Fixed digits with a real minus sign, and no minus before a zero."""
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0:
        text = f"{0:.{digits}f}"
    return text.replace("-", "−")


def percent(value: float | None, digits: int = 1) -> str:
    return NONE if value is None else f"{number(100 * value, digits)} %"


def measured(value: float | None, ci95: Interval | None = None, *, as_percent: bool = True, digits: int = 2) -> str:
    """A metric with its interval: `71.24 % [70.31, 72.10]`, or `0.7124 [0.7031, 0.7210]` where percent make no
    sense."""
    if value is None:
        return NONE
    scale, digits = (100.0, digits) if as_percent else (1.0, digits + 2)
    text = number(scale * value, digits) + (" %" if as_percent else "")
    return text if ci95 is None else f"{text} {_bracket(ci95, scale, digits)}"


def difference(value: float, ci95: Interval, *, as_percent: bool = True) -> str:
    """A gain with its interval: `+1.9 points [1.2, 2.6]`. More digits where one would round an end of the interval to
    zero."""
    scale, digits, unit = (100.0, 1, " points") if as_percent else (1.0, 3, "")
    if 0 < scale * min(map(abs, ci95)) < 0.5 * 10**-digits:
        digits += 1
    return f"{number(scale * value, digits, sign=True)}{unit} {_bracket(ci95, scale, digits)}"


def _bracket(ci95: Interval, scale: float, digits: int) -> str:
    return f"[{number(scale * ci95[0], digits)}, {number(scale * ci95[1], digits)}]"


def p_value(p: float) -> str:
    """`= 0.03`, or `< 0.001` below that."""
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def fraction(ratio: float) -> str:
    """How small the student is when the teacher is `ratio` times as large: `at 1/11 of its size`."""
    if ratio >= 9.95:
        return f"at 1/{ratio:.0f} of its size"
    if ratio >= 1.05:
        return f"at 1/{ratio:.1f} of its size"
    return "at its size" if ratio > 0.95 else f"at {1 / ratio:.1f} times its size"


def times(ratio: float | None) -> str:
    return NONE if ratio is None else f"{ratio:.1f}×"


def count(value: float | None) -> str:
    """`11.2 M`: three significant digits, thousands by letter."""
    return NONE if value is None else _scaled(value, 1000, ("", " k", " M", " G", " T"))


def size(value: float | None) -> str:
    """Bytes in powers of 1,000, as disks and downloads count."""
    return NONE if value is None else _scaled(value, 1000, (" B", " kB", " MB", " GB", " TB"))


def milliseconds(value: float | None) -> str:
    return NONE if value is None else f"{_digits(value)} ms"


def _scaled(value: float, base: float, units: tuple[str, ...]) -> str:
    step = 0
    while abs(value) >= 0.9995 * base and step < len(units) - 1:
        value, step = value / base, step + 1
    return (_digits(value) if step else f"{value:.0f}") + units[step]


def _digits(value: float) -> str:
    """Three significant digits, never in exponents."""
    return f"{value:.{2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0}f}"
