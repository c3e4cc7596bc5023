"""The detectors of leaks in the node agent: what they are fed, and what becomes of what they find."""

from collections.abc import Callable

import pytest

from tenantquota.api.leaks import Kind, Stage
from tenantquota.domain.findings import Thresholds
from tenantquota.domain.usage import NANOSECONDS, Processes, RunDelay
from tenantquota.node.containers import Container
from tenantquota.node.leaks import LeakWatch
from tests.unit.node.samples import MI, container, sample

SLOPE_BYTES = 50 * MI // 60


def live(
    watch: LeakWatch,
    of: Container,
    seconds: range,
    *,
    memory: Callable[[int], int] = lambda _: 0,
    cpu_milli: int = 0,
    files: Callable[[int], int] = lambda _: 10,
    zombies: Callable[[int], int] = lambda _: 0,
) -> None:
    """A tick a second; files and processes are counted every tenth."""
    for second in seconds:
        of.samples.append(
            sample(
                second + 1,
                cpu_usage_ns=second * cpu_milli * 1_000_000,
                memory_usage_bytes=(200 + 40) * MI + memory(second),
                inactive_file_bytes=40 * MI,
            )
        )
        if second % 10 == 0:
            of.processes.append(Processes((second + 1) * NANOSECONDS, 5, 2, files(second), zombies(second)))
        watch.after_tick([of])


def kinds(watch: LeakWatch) -> list[Kind]:
    return [found.finding.kind for found in watch.confirmed]


def test_the_working_set_of_a_container_leaks() -> None:
    watch, of = LeakWatch(), container(memory_bytes=512 * MI)
    live(watch, of, range(61), memory=lambda second: second * SLOPE_BYTES)
    [found] = watch.confirmed
    assert (found.container, found.finding.kind) == (of, Kind.MEMORY_FAST)
    assert found.finding.limit_in_seconds == pytest.approx((512 - 200 - 45) / 50 * 60, rel=0.1)


def test_page_cache_that_is_given_back_first_is_no_leak() -> None:
    watch, of = LeakWatch(), container()
    for second in range(1000):
        usage, cache = 200 * MI + second * SLOPE_BYTES, second * SLOPE_BYTES
        of.samples.append(sample(second + 1, memory_usage_bytes=usage, inactive_file_bytes=cache))
        watch.after_tick([of])
    assert watch.found == ()


def test_files_are_judged_by_the_looks_at_them() -> None:
    watch, of = LeakWatch(), container()
    live(watch, of, range(71), files=lambda second: 10 + 5 * second)
    assert kinds(watch) == [Kind.OPEN_FILES]


def test_zombies_are_processes() -> None:
    watch, of = LeakWatch(), container()
    live(watch, of, range(200), zombies=lambda second: second)
    assert kinds(watch) == [Kind.PROCESSES]


def test_cpu_is_of_a_core_or_of_the_limit_below_one() -> None:
    for limit_milli, cpu_milli, found in (
        (None, 900, [Kind.CPU]),
        (500, 490, [Kind.CPU]),
        (2000, 900, [Kind.CPU]),
        (2000, 490, []),
    ):
        watch, of = LeakWatch(), container(cpu_milli=limit_milli)
        live(watch, of, range(320), cpu_milli=cpu_milli)
        assert kinds(watch) == found


@pytest.mark.parametrize(
    ("throttled_ms", "looked", "found"),
    [
        (0, True, [Kind.CPU]),
        pytest.param(480, True, [Kind.CPU], id="by its own quota for half of the time"),
        pytest.param(900, True, [], id="by its own quota alone, which the kernel counts as waiting too"),
        pytest.param(0, False, [], id="nobody waited, so that nobody looked"),
    ],
)
def test_who_is_kept_from_the_cpu_wants_it_all_the_same(
    throttled_ms: int, looked: bool, found: list[Kind]
) -> None:
    watch, of = LeakWatch(), container(cpu_milli=500)
    of.owner = of.owner._replace(thresholds=Thresholds(cpu_seconds=60))
    used_ns = waited_ns = throttled_ns = times = 0
    for second in range(1, 86):
        starved = 20 <= second < 30
        used_ns += 20_000_000 if starved else 490_000_000
        waited_ns += 900_000_000 if starved or second == 19 else 0
        times += starved and bool(throttled_ms)
        throttled_ns += throttled_ms * 1_000_000 if starved else 0
        of.samples.append(sample(second, cpu_usage_ns=used_ns, nr_throttled=times, throttled_ns=throttled_ns))
        if looked or second < 20:
            of.run_delays.append(RunDelay(second * NANOSECONDS, waited_ns, second))
        watch.after_tick([of])

    assert kinds(watch) == found


def test_a_counter_that_went_back_ends_what_was_found() -> None:
    watch, of = LeakWatch(), container()
    live(watch, of, range(61), memory=lambda second: second * SLOPE_BYTES, cpu_milli=50)
    assert kinds(watch) == [Kind.MEMORY_FAST]
    of.samples.append(sample(63, cpu_usage_ns=1, memory_usage_bytes=300 * MI))
    watch.after_tick([of])
    assert watch.found == ()


def test_a_container_that_is_gone_leaks_no_more() -> None:
    watch, of = LeakWatch(), container()
    live(watch, of, range(61), memory=lambda second: second * SLOPE_BYTES)
    watch.after_tick([])
    assert watch.found == ()


def test_a_tick_without_a_new_sample_changes_nothing() -> None:
    watch, of = LeakWatch(), container()
    live(watch, of, range(61), memory=lambda second: second * SLOPE_BYTES)
    found = watch.found
    watch.after_tick([of])
    assert watch.found == found


def test_thresholds_are_the_quotas_and_new_ones_begin_anew() -> None:
    watch, of = LeakWatch(), container()
    live(watch, of, range(61), memory=lambda second: second * SLOPE_BYTES)
    of.owner = of.owner._replace(thresholds=Thresholds(memory_fast_bytes_per_minute=500.0 * MI))
    live(watch, of, range(61, 140), memory=lambda second: second * SLOPE_BYTES)
    assert watch.confirmed == ()


def test_suspicions_are_kept_apart() -> None:
    watch, of = LeakWatch(), container()
    live(watch, of, range(40), memory=lambda second: second * SLOPE_BYTES)
    assert [found.finding.stage for found in watch.found] == [Stage.SUSPECTED]
    assert watch.confirmed == ()
