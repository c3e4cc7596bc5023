"""Kubernetes quantities as integers: CPU in milli-CPU, memory in bytes.

Fractions round up, as ``resource.Quantity.MilliValue()`` and ``Value()`` do (apimachinery pkg/api/resource).
"""

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Final

_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
}


class QuantityError(ValueError):
    """A text that is no Kubernetes quantity."""

    def __init__(self, quantity: object) -> None:
        super().__init__(f"{quantity!r} is not a quantity: write 500m, 2 or 256Mi")


def _value(quantity: str | int) -> Decimal:
    text = str(quantity).strip()
    number = text.rstrip("numkKMGTPEi")
    suffix = text[len(number) :]
    scale = Decimal(_BINARY[suffix]) if suffix in _BINARY else _DECIMAL.get(suffix)
    try:
        value = Decimal(number)
    except InvalidOperation:
        raise QuantityError(quantity) from None
    if scale is None or not value.is_finite() or "_" in number:
        raise QuantityError(quantity)
    return value * scale


def parse_cpu_milli(quantity: str | int) -> int:
    """``"500m"`` → 500, ``2`` → 2000, ``"0.1"`` → 100. Raises QuantityError."""
    return int((_value(quantity) * 1000).to_integral_value(ROUND_CEILING))


def parse_memory_bytes(quantity: str | int) -> int:
    """``"256Mi"`` → 268435456, ``"1e9"`` → 1000000000. Raises QuantityError."""
    return int(_value(quantity).to_integral_value(ROUND_CEILING))


def format_cpu(milli: int) -> str:
    """500 → ``"500m"``, 2000 → ``"2"``."""
    return f"{milli}m" if milli % 1000 else str(milli // 1000)


def format_memory(size_bytes: int) -> str:
    """268435456 → ``"256Mi"``: the largest binary unit that says it exactly."""
    for suffix, scale in reversed(_BINARY.items()):
        if size_bytes and size_bytes % scale == 0:
            return f"{size_bytes // scale}{suffix}"
    return str(size_bytes)
