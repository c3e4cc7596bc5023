from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantquota.domain.quantities import (
    QuantityError,
    format_cpu,
    format_memory,
    parse_cpu_milli,
    parse_memory_bytes,
)


@pytest.mark.parametrize(
    ("text", "milli"),
    [("500m", 500), (2, 2000), ("2", 2000), ("0.1", 100), ("0.29", 290), ("1.001", 1001), ("2500u", 3),
     ("1k", 10**6), ("100n", 1), ("1e3m", 1000), ("0", 0), ("-1", -1000)],
)  # fmt: skip
def test_cpu_is_whole_milli_rounded_up(text: str | int, milli: int) -> None:
    assert parse_cpu_milli(text) == milli


@pytest.mark.parametrize(
    ("text", "size"),
    [("256Mi", 256 * 2**20), ("1Gi", 2**30), (1000, 1000), ("1k", 1000), ("1e9", 10**9), ("0.5Gi", 2**29),
     ("1500m", 2), ("1.5Ki", 1536), ("1E", 10**18), ("1Ei", 2**60)],
)  # fmt: skip
def test_memory_is_whole_bytes_rounded_up(text: str | int, size: int) -> None:
    assert parse_memory_bytes(text) == size


@pytest.mark.parametrize("text", ["", "abc", "1Q", "1 0", "Mi", "1mi", "1_000", "NaN", "Infinity", "1Kim"])
def test_what_is_no_quantity_is_said(text: str) -> None:
    with pytest.raises(QuantityError, match="is not a quantity: write 500m"):
        parse_cpu_milli(text)


@given(st.integers(0, 10**7))
def test_cpu_survives_the_way_there_and_back(milli: int) -> None:
    assert parse_cpu_milli(format_cpu(milli)) == milli


@given(st.integers(0, 2**50))
def test_memory_survives_the_way_there_and_back(size: int) -> None:
    assert parse_memory_bytes(format_memory(size)) == size


@given(st.decimals(min_value=0, max_value=1024, places=6))
def test_decimal_text_is_exact(cores: Decimal) -> None:
    assert parse_cpu_milli(str(cores)) == -(-int(cores * 10**6) // 1000)
