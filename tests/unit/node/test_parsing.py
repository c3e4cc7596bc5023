"""Cgroup files' formats: real content, and whatever else might stand there."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantquota.node.cgroups import parsing
from tenantquota.node.cgroups.parsing import NO_LIMIT, MalformedError, Throttling

CPU_STAT_V2 = (
    b"usage_usec 636346\nuser_usec 256371\nsystem_usec 379975\nnice_usec 0\nnr_periods 120\nnr_throttled 7\n"
    b"throttled_usec 2500\nnr_bursts 0\nburst_usec 0\n"
)
MEMORY_STAT_V1 = (
    b"cache 929792\nrss 11620352\ninactive_file 118784\nactive_file 815104\n"
    b"hierarchical_memory_limit 25276514304\ntotal_cache 929792\ntotal_inactive_file 118785\n"
    b"total_active_file 815104\ntotal_unevictable 0\n"
)
MEMORY_STAT_V2 = (
    b"anon 4096\nfile 8192\nworkingset_refault_file 0\ninactive_anon 0\ninactive_file 118784\nslab 0\n"
)
PRESSURE = (
    b"some avg10=3.75 avg60=1.45 avg300=0.66 total=6776240\n"
    b"full avg10=3.67 avg60=1.42 avg300=0.64 total=6657331\n"
)
IO_V1 = (
    b"254:0 Read 1000\n254:0 Write 20971520\n254:0 Sync 41943040\n254:0 Async 0\n254:0 Discard 20971520\n"
    b"254:0 Total 41943040\n8:16 Read 24\n8:16 Write 0\n8:16 Total 24\nTotal 41943064\n"
)
IO_V2 = (
    b"254:0 rbytes=1000 wbytes=20971520 rios=1 wios=20 dbytes=7 dios=1\n8:16 \n"
    b"7:0 rbytes=24 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n"
)

Parse = Callable[[bytes], Any]
GOOD: list[tuple[Parse, bytes, Any]] = [
    (parsing.number, b"0\n", 0),
    (parsing.number, b"636346000123\n", 636346000123),
    (parsing.cpu_stat_v1, b"nr_periods 3\nnr_throttled 2\nthrottled_time 99\n", Throttling(3, 2, 99)),
    (parsing.cpu_stat_v1, b"nr_periods 3\n", Throttling(3, None, None)),
    (parsing.cpu_stat_v2, CPU_STAT_V2, (636346000, Throttling(120, 7, 2500000))),
    (parsing.cpu_stat_v2, b"usage_usec 5\nuser_usec 5\n", (5000, Throttling(None, None, None))),
    (parsing.oom_kills, b"oom_kill_disable 0\nunder_oom 0\noom_kill 4\n", 4),
    (parsing.oom_kills, b"low 0\nhigh 0\nmax 9\noom 5\noom_kill 4\noom_group_kill 0\n", 4),
    (parsing.oom_kills, b"oom_kill_disable 0\nunder_oom 0\n", None),
    (parsing.inactive_file, MEMORY_STAT_V2, 118784),
    (parsing.inactive_file, b"inactive_file 7\n", 7),
    (parsing.total_inactive_file, MEMORY_STAT_V1, 118785),
    (parsing.pressure_some_us, PRESSURE, 6776240),
    (parsing.cpu_max, b"25000 100000\n", (25000, 100000)),
    (parsing.cpu_max, b"max 100000\n", (NO_LIMIT, 100000)),
    (parsing.cfs_quota_us, b"25000\n", 25000),
    (parsing.cfs_quota_us, b"-1\n", NO_LIMIT),
    (parsing.cfs_period_us, b"100000\n", 100000),
    (parsing.limit_in_bytes, b"134217728\n", 134217728),
    (parsing.limit_in_bytes, b"9223372036854771712\n", NO_LIMIT),
    (parsing.memory_max, b"134217728\n", 134217728),
    (parsing.memory_max, b"max\n", NO_LIMIT),
    (parsing.io_service_bytes, IO_V1, (1024, 20971520)),
    (parsing.io_service_bytes, b"Total 0\n", (0, 0)),
    (parsing.io_stat, IO_V2, (1024, 20971520)),
    (parsing.io_stat, b"", (0, 0)),
    (parsing.io_done, IO_V2, {"254:0": (21, 20972520), "7:0": (1, 24)}),
    (parsing.io_done, b"", {}),
    (parsing.limit_hits, b"low 1\nhigh 2\nmax 9\noom 5\noom_kill 4\noom_group_kill 0\n", 16),
    (parsing.pages_scanned, b"pgscan_kswapd 30\npgscan_direct 4\npgscan_direct_throttle 9\n", 34),
    (parsing.ids, b"841\n859\n", [841, 859]),
    (parsing.ids, b"0\n841\n", [841]),
    (parsing.ids, b"", []),
    (parsing.schedstat, b"676387 1169829 6\n", (1169829, 6)),
]
PARSERS = sorted({parse for parse, _, _ in GOOD}, key=lambda parse: parse.__name__)


@pytest.mark.parametrize(("parse", "content", "expected"), GOOD)
def test_reads_what_the_kernel_writes(parse: Parse, content: bytes, expected: Any) -> None:
    assert parse(content) == expected


@pytest.mark.parametrize(
    ("parse", "content"),
    [
        (parsing.number, b""),
        (parsing.number, b"\n"),
        (parsing.number, b"12"),
        (parsing.number, b"-12\n"),
        (parsing.number, b"+12\n"),
        (parsing.number, b"1_2\n"),
        (parsing.number, b" 12\n"),
        (parsing.number, b"1\n2\n"),
        (parsing.number, b"12345678901234567890\n"),
        (parsing.cpu_stat_v1, b"nr_periods 3\nnr_throttled\n"),
        (parsing.cpu_stat_v1, b"nr_periods x\n"),
        (parsing.cpu_stat_v2, CPU_STAT_V2[:-1]),
        (parsing.inactive_file, MEMORY_STAT_V1.replace(b"inactive_file", b"inactive_fill")),
        (parsing.inactive_file, b"inactive_file 118"),
        (parsing.total_inactive_file, MEMORY_STAT_V2),
        (parsing.pressure_some_us, PRESSURE[:40]),
        (parsing.pressure_some_us, PRESSURE.replace(b"some", b"full")),
        (parsing.cpu_max, b"max\n"),
        (parsing.cpu_max, b"max 0\n"),
        (parsing.cpu_max, b"25000 10000"),
        (parsing.cpu_max, b"-1 100000\n"),
        (parsing.cfs_quota_us, b"-2\n"),
        (parsing.cfs_period_us, b"0\n"),
        (parsing.cfs_period_us, b"1000"),
        (parsing.memory_max, b"ma"),
        (parsing.io_service_bytes, b""),
        (parsing.io_service_bytes, b"254:0 Read\n"),
        (parsing.io_stat, b"254:0 rbytes=1x wbytes=0\n"),
        (parsing.io_stat, b"254:0 rbytes=1"),
        (parsing.io_done, b"254:0 rbytes=1 rios=x\n"),
        (parsing.io_done, b"254:0 rios=1"),
        (parsing.io_done, b"rios=1\n"),
        (parsing.limit_hits, b"low 0\nhigh\n"),
        (parsing.pages_scanned, b"pgscan_kswapd 30\npgscan_direct_throttle 9\n"),
        (parsing.ids, b"84"),
        (parsing.ids, b"84\nx\n"),
        (parsing.schedstat, b"1 2\n"),
        (parsing.schedstat, b"1 2 -3\n"),
    ],
)
def test_refuses_what_it_does_not_write(parse: Parse, content: bytes) -> None:
    with pytest.raises(MalformedError, match="not understood"):
        parse(content)


@settings(max_examples=1000)
@given(
    parse=st.sampled_from(PARSERS),
    content=st.binary(max_size=200)
    | st.text("0123456789 \n=-:abmxRrWwtedioskl", max_size=200).map(str.encode),
)
def test_garbage_is_refused_or_makes_sense(parse: Parse, content: bytes) -> None:
    """Nothing but MalformedError comes out, and no figure that is negative or wouldn't fit 64 bits."""
    try:
        found = parse(content)
    except MalformedError:
        return
    for figure in _figures(found):
        assert figure == NO_LIMIT or 0 <= figure < 2**63


SHORTER = (parsing.io_service_bytes, parsing.io_stat, parsing.io_done, parsing.ids)
"""Of a list that was cut between lines they read a shorter one."""


@settings(max_examples=500)
@given(case=st.sampled_from(GOOD), data=st.data())
def test_a_file_cut_off_within_a_number_never_yields_another_number(
    case: tuple[Parse, bytes, Any], data: st.DataObject
) -> None:
    """Cut between lines, some figures may be missing; those that are there are right."""
    parse, content, expected = case
    cut = content[: data.draw(st.integers(0, max(0, len(content) - 1)))]
    try:
        found = parse(cut)
    except MalformedError:
        return
    if parse in SHORTER:
        assert not cut or cut.endswith(b"\n")
    else:
        assert set(_figures(found)) <= set(_figures(expected))


@given(st.integers(0, 2**63 - 1))
def test_numbers_survive_the_way_there_and_back(number: int) -> None:
    assert parsing.number(b"%d\n" % number) == number


@given(
    st.dictionaries(st.integers(0, 255), st.tuples(st.integers(0, 2**50), st.integers(0, 2**50)), max_size=5)
)
def test_io_is_summed_over_devices_in_both_versions(devices: dict[int, tuple[int, int]]) -> None:
    total = tuple(sum(column) for column in zip(*devices.values(), strict=True)) or (0, 0)
    v1 = b"".join(
        b"8:%d Read %d\n8:%d Write %d\n8:%d Sync 5\n8:%d Total %d\n"
        % (d, read, d, written, d, d, read + written)
        for d, (read, written) in devices.items()
    )
    v2 = b"".join(
        b"8:%d rbytes=%d wbytes=%d rios=1 wios=1 dbytes=0 dios=0\n" % (d, read, written)
        for d, (read, written) in devices.items()
    )
    assert parsing.io_service_bytes(v1 + b"Total %d\n" % sum(total)) == total
    assert parsing.io_stat(v2) == total


@given(st.lists(st.integers(1, 2**22)))
def test_ids_keep_their_order(ids: list[int]) -> None:
    assert parsing.ids(b"".join(b"%d\n" % number for number in ids)) == ids


def _figures(found: Any) -> list[int]:
    if found is None:
        return []
    if isinstance(found, int):
        return [found]
    return [figure for item in found for figure in _figures(item)]
