import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantquota.domain.findings import MIB, NO_LIMITS, Finding, Kind, Limits, Stage, Thresholds, evidence
from tenantquota.domain.leaks import START_SECONDS, Changes, Leaks

Series = Iterable[tuple[float, float]]


def changes(series: Series, leaks: Leaks | None = None, limits: Limits = NO_LIMITS) -> list[Finding]:
    """Everything that came of the memory in bytes, suspicions aside."""
    leaks = leaks or Leaks()
    found = [change for at, value in series for change in leaks.observe(at, value, limits=limits)]
    return [finding for finding in found if finding.stage is not Stage.SUSPECTED]


def memory(seconds: int, at: Callable[[int], float], start: int = 0) -> Series:
    return [(float(second), at(second)) for second in range(start, start + seconds)]


def ramp(mib_per_minute: float, since: int = 0, base: float = 200) -> Callable[[int], float]:
    return lambda second: (base + max(0, second - since) * mib_per_minute / 60) * MIB


def noisy(of: Callable[[int], float], seed: int = 1) -> Callable[[int], float]:
    """Up to a MiB of noise each tenth second, and a subprocess of 80 MiB for a second now and then."""
    noise = random.Random(seed)  # noqa: S311 - noise
    extra = [noise.random() * MIB if noise.random() < 0.1 else 0.0 for _ in range(4000)]
    bursts = [80 * MIB if noise.random() < 0.02 else 0 for _ in range(4000)]
    return lambda second: of(second) + extra[second] + bursts[second]


class TestMemory:
    @pytest.mark.parametrize("seed", range(5))
    def test_a_fast_leak_among_noise_is_found_within_a_minute(self, seed: int) -> None:
        [found] = changes(memory(360, noisy(ramp(50, since=300), seed)))
        assert (found.kind, found.stage) == (Kind.MEMORY_FAST, Stage.CONFIRMED)
        assert 300 < found.at_seconds <= 360
        assert found.rate_per_minute == pytest.approx(50 * MIB, rel=0.2)

    @pytest.mark.parametrize("seed", range(5))
    def test_a_slow_leak_among_noise_is_found_while_it_is_small(self, seed: int) -> None:
        [found] = changes(memory(1200, noisy(ramp(5, since=300), seed)))
        assert (found.kind, found.stage) == (Kind.MEMORY_SLOW, Stage.CONFIRMED)
        assert 300 < found.at_seconds <= 1200
        assert found.rate_per_minute == pytest.approx(5 * MIB, rel=0.3)

    @settings(max_examples=30, deadline=None)
    @given(rate=st.floats(50, 1000), since=st.integers(60, 120))
    def test_a_ramp_above_the_fast_threshold_is_found_in_a_minute(self, rate: float, since: int) -> None:
        found = changes(memory(since + 61, ramp(rate, since)))
        assert [each.kind for each in found] == [Kind.MEMORY_FAST]

    @settings(max_examples=15, deadline=None)
    @given(rate=st.floats(2, 25), since=st.integers(0, 120))
    def test_a_ramp_above_the_slow_threshold_is_found_in_a_quarter_of_an_hour(
        self, rate: float, since: int
    ) -> None:
        assert [each.kind for each in changes(memory(since + 900, ramp(rate, since)))] == [Kind.MEMORY_SLOW]

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(st.integers(0, 2**34), min_size=100, max_size=700).map(lambda of: sorted(of, reverse=True))
    )
    def test_what_does_not_grow_is_never_found(self, falling: list[int]) -> None:
        leaks = Leaks()
        for second, value in enumerate(falling):
            assert leaks.observe(second, value, 0.0, value % 7 and value, value) == ()

    def test_a_leak_in_pieces_of_a_heaps_arenas_is_found(self) -> None:
        in_pieces = memory(1200, lambda second: (200 + second * 4 // 60) * MIB)  # 1 MiB each 15 s
        assert [each.kind for each in changes(in_pieces)] == [Kind.MEMORY_SLOW]

    @pytest.mark.parametrize(("period_seconds", "mib_per_second"), [(5, 4), (20, 2), (300, 0.2)])
    def test_a_collectors_sawtooth_is_none(self, period_seconds: int, mib_per_second: float) -> None:
        assert changes(memory(3600, lambda at: (200 + mib_per_second * (at % period_seconds)) * MIB)) == []

    @pytest.mark.parametrize("period_seconds", [30, 45, 60, 150])
    def test_a_sawtooth_that_rises_like_a_leak_is_found_once(self, period_seconds: int) -> None:
        stages = [each.stage for each in changes(memory(3600, lambda at: (200 + at % period_seconds) * MIB))]
        assert stages == [Stage.CONFIRMED, Stage.ENDED]

    def test_steps_that_are_kept_are_none(self) -> None:
        def steps(second: int) -> float:
            return (200 + 15 * (second // 45)) * MIB if second < 400 else 335 * MIB

        assert changes(memory(2400, steps)) == []

    def test_a_build_that_rises_for_a_minute_and_is_gone_is_none(self) -> None:
        def build(second: int) -> float:
            into = second % 600 - 300
            return (200 + (100 + 5 * into if 0 <= into < 75 else 0)) * MIB

        assert changes(memory(3000, build)) == []

    @pytest.mark.parametrize("period", [20, 25, 30])
    def test_a_sawtooth_right_after_a_start_is_none(self, period: int) -> None:
        def begun(second: int) -> float:
            return (5 if second < 3 else 12 + second % period * 40 / 30) * MIB

        assert changes(memory(600, begun)) == []

    @pytest.mark.parametrize("seed", range(3))
    def test_a_fast_leak_is_found_within_a_minute_though_samples_come_late(self, seed: int) -> None:
        late = random.Random(seed)  # noqa: S311 - noise
        samples = [(at + late.uniform(0, 0.1), value) for at, value in memory(361, ramp(50, since=300))]
        [found] = changes(samples)
        assert found.kind is Kind.MEMORY_FAST

    def test_one_subprocess_that_ends_does_not_hide_a_leak(self) -> None:
        def leaking(second: int) -> float:
            return ramp(50, since=300)(second) + (40 * MIB if second < 325 else 0)

        [found] = changes(memory(365, leaking))
        assert found.kind is Kind.MEMORY_FAST

    def test_says_when_the_limit_is_hit(self) -> None:
        [found] = changes(memory(100, ramp(60)), limits=Limits(memory_bytes=500 * MIB))
        reached = 200 + found.at_seconds
        assert found.limit_in_seconds == pytest.approx(500 - reached, abs=4)
        assert "MiB" in evidence(found)

    def test_thresholds_change_what_is_found(self) -> None:
        leaks = Leaks(
            Thresholds(memory_fast_bytes_per_minute=500 * MIB, memory_slow_bytes_per_minute=100 * MIB)
        )
        assert changes(memory(900, ramp(50)), leaks) == []


class TestEnds:
    def test_when_the_memory_is_given_back(self) -> None:
        leaks = Leaks()
        found = changes(memory(500, lambda second: ramp(50)(second) if second < 200 else 200 * MIB), leaks)
        assert [each.stage for each in found] == [Stage.CONFIRMED, Stage.ENDED]
        assert 200 <= found[1].at_seconds <= 210
        assert leaks.findings == {}

    def test_when_it_grows_no_more(self) -> None:
        found = changes(memory(900, lambda second: ramp(50)(min(second, 200))))
        assert [each.stage for each in found] == [Stage.CONFIRMED, Stage.ENDED]

    def test_what_was_given_back_is_no_news_until_it_is_passed(self) -> None:
        def twice(second: int) -> float:
            return ramp(50)(second % 300)

        stages = [each.stage for each in changes(memory(900, twice))]
        assert stages == [Stage.CONFIRMED, Stage.ENDED]

    def test_with_a_restart(self) -> None:
        leaks = Leaks()
        changes(memory(200, ramp(50)), leaks)
        [ended] = leaks.restart(200)
        assert ended.stage is Stage.ENDED
        assert leaks.restart(201) == ()

    def test_with_a_clock_that_goes_back(self) -> None:
        leaks = Leaks()
        changes(memory(200, ramp(50), start=1000), leaks)
        [ended] = leaks.observe(5.0, 200 * MIB)
        assert ended.stage is Stage.ENDED


class TestGaps:
    def test_a_jump_over_a_gap_is_no_growth(self) -> None:
        before, after = memory(100, ramp(0)), memory(100, ramp(0, base=900), start=700)
        assert changes([*before, *after]) == []

    def test_evidence_begins_anew_after_a_gap(self) -> None:
        [found] = changes([*memory(30, ramp(50)), *memory(100, ramp(50), start=60)])
        assert found.since_seconds >= 60

    @pytest.mark.parametrize("flat", range(6, 30, 2))
    def test_a_sawtooth_after_a_slow_start_is_none(self, flat: int) -> None:
        """What a program takes as it begins isn't given back with what it takes later."""
        start = [4 + 21 * second / 10 for second in range(10)] + [25.0] * flat
        teeth = [25 + 54 * (second % 30) / 30 for second in range(300)]
        leaks = Leaks()
        for begun in (0, 1000):
            found = [
                change
                for second, mib in enumerate(start + teeth)
                for change in leaks.observe(float(begun + second), mib * MIB)
            ]
            assert Stage.CONFIRMED not in {each.stage for each in found}
            leaks.restart(1000.0)

    def test_missing_samples_and_a_sample_twice_do_no_harm(self) -> None:
        leaks = Leaks()
        found: Changes = ()
        for second, value in memory(100, ramp(50)):
            found += leaks.observe(second, None if second % 5 == 3 else value)
            found += leaks.observe(second, value * 3)
        assert Stage.CONFIRMED in {each.stage for each in found}


class TestCounts:
    """Of files and processes, which are looked at every ten seconds."""

    @staticmethod
    def found(files: Callable[[int], float], looks: int) -> list[Finding]:
        leaks = Leaks()
        all_ = [
            change
            for look in range(looks)
            for change in leaks.observe(
                look * 10.0, None, open_files=files(look), processes=files(look) // 10
            )
        ]
        return [finding for finding in all_ if finding.stage is not Stage.SUSPECTED]

    def test_a_fast_leak_is_found_with_the_fourth_look_that_sees_it(self) -> None:
        """No later: that is 30 to 40 s after it began, and 10 more where the looks began with it."""
        seen_from = round(START_SECONDS // 10) + 1
        files = [20.0] * seen_from + [70.0, 120.0, 170.0, 220.0]
        found = self.found(files.__getitem__, looks=len(files))
        assert {each.kind for each in found} == {Kind.OPEN_FILES, Kind.PROCESSES}
        assert {each.at_seconds for each in found} == {10.0 * (len(files) - 1)}
        assert self.found(files.__getitem__, looks=len(files) - 1) == []

    def test_looks_every_second_find_it_as_soon(self) -> None:
        """As in a record that is replayed."""
        leaks = Leaks()
        found = [
            change
            for second in range(80)
            for change in leaks.observe(float(second), None, open_files=20 + 2 * max(0, second - 30))
            if change.stage is Stage.CONFIRMED
        ]
        assert [(each.kind, 60 <= each.at_seconds <= 80) for each in found] == [(Kind.OPEN_FILES, True)]

    def test_after_a_gap_the_evidence_begins_anew(self) -> None:
        leaks = Leaks()
        looks = [10.0, 20.0, 30.0, 40.0, 100.0, 110.0, 120.0, 130.0]
        found = [change for at in looks for change in leaks.observe(at, None, open_files=5 * at)]
        assert Stage.CONFIRMED not in {each.stage for each in found}
        (change,) = leaks.observe(140.0, None, open_files=700)
        assert (change.stage, change.since_seconds) == (Stage.CONFIRMED, 100.0)

    def test_a_fast_one_ends_when_it_is_given_back(self) -> None:
        found = self.found(lambda look: 20 + 50 * look if look < 8 else 20, looks=12)
        assert sorted(each.kind for each in found if each.stage is Stage.ENDED) == [
            Kind.OPEN_FILES,
            Kind.PROCESSES,
        ]

    def test_a_slow_one_within_a_quarter_of_an_hour(self) -> None:
        [found] = self.found(lambda look: 20 + 2 * look, looks=90)
        assert found.kind is Kind.OPEN_FILES

    def test_a_pool_that_fills_and_a_crowd_that_comes_and_goes_are_none(self) -> None:
        assert self.found(lambda look: min(20 + 200 * look, 420), looks=200) == []
        assert self.found(lambda look: 20 + 100 * (look % 3), looks=200) == []


class TestCpu:
    @staticmethod
    def found(percent: Callable[[int], float], seconds: int, limits: Limits = NO_LIMITS) -> list[Finding]:
        leaks = Leaks()
        all_ = [
            change
            for second in range(seconds)
            for change in leaks.observe(second, None, percent(second), limits=limits)
        ]
        return [finding for finding in all_ if finding.stage is not Stage.SUSPECTED]

    def test_a_runaway_is_found_after_five_minutes_and_ends_with_it(self) -> None:
        found = self.found(lambda second: 97 if 100 <= second < 600 else 5, 700)
        assert [each.stage for each in found] == [Stage.CONFIRMED, Stage.ENDED]
        assert 400 <= found[0].at_seconds <= 430
        assert found[1].at_seconds <= 650

    def test_bursts_are_none(self) -> None:
        assert self.found(lambda second: 100 if second % 300 < 270 else 5, 3000) == []

    def test_of_a_limit_below_a_core_it_is_a_part_of_that(self) -> None:
        assert self.found(lambda _: 49, 400) == []
        [found] = self.found(lambda _: 49, 400, Limits(cpu_percent=50))
        assert found.kind is Kind.CPU
        assert evidence(found).endswith("over 40 %")

    def test_seconds_and_percent_can_be_changed(self) -> None:
        leaks = Leaks(Thresholds(cpu_percent=30, cpu_seconds=60))
        found = [each for second in range(80) for each in leaks.observe(second, None, 40.0)]
        assert found[-1].stage is Stage.CONFIRMED

    class TestKept:
        """What others keep from the CPU wants it all the same."""

        LIMITS = Limits(cpu_percent=20)
        THRESHOLDS = Thresholds(cpu_seconds=60)

        @classmethod
        def stages(
            cls, did: Callable[[int], tuple[float, float]], seconds: int
        ) -> list[tuple[Stage, float, float]]:
            """
            Args:
                did: by second, percent of a core used and waited for.
            """
            leaks, found = Leaks(cls.THRESHOLDS), []
            for second in range(seconds):
                used, waited = did(second)
                found += leaks.observe(second, None, used, limits=cls.LIMITS, cpu_waited_percent=waited)
            return [
                (each.stage, each.since_seconds, each.at_seconds)
                for each in found
                if each.stage is not Stage.SUSPECTED
            ]

        def test_a_stretch_in_which_it_was_kept_is_no_break(self) -> None:
            """As it was seen: 37m of 200m for some seconds, after a minute less ten."""
            starved = self.stages(lambda second: (3.7, 100.0) if 53 <= second < 57 else (19.8, 0.0), 100)

            assert starved == [(Stage.CONFIRMED, 0, 70)]

        def test_one_in_which_it_wanted_little_is(self) -> None:
            found = self.stages(lambda second: (3.7, 1.0) if 20 < second <= 30 else (19.8, 0.0), 120)

            assert found == [(Stage.CONFIRMED, 30, 90)]

        def test_nor_does_it_end_what_was_found(self) -> None:
            found = self.stages(lambda second: (19.8, 0.0) if second < 70 else (0.5, 100.0), 200)
            assert found == [(Stage.CONFIRMED, 0, 60)]

        def test_to_wait_alone_is_no_runaway(self) -> None:
            assert self.stages(lambda _: (0.5, 400.0), 600) == []

        def test_a_wait_counts_up_to_the_limit(self) -> None:
            """However many threads wait in one second: in the others it wants less."""

            def did(second: int) -> tuple[float, float]:
                if 20 < second <= 30:
                    return (0.5, 800.0) if second == 25 else (15.0, 0.0)
                return (19.8, 0.0)

            assert self.stages(did, 120) == [(Stage.CONFIRMED, 30, 90)]

        def test_what_it_waited_in_one_stretch_says_nothing_of_the_next(self) -> None:
            def did(second: int) -> tuple[float, float]:
                if 10 < second <= 20:
                    return 0.5, 100.0
                return (0.5, 0.0) if 20 < second <= 30 else (19.8, 0.0)

            assert self.stages(did, 120) == [(Stage.CONFIRMED, 30, 90)]

        def test_since_is_when_it_first_was_over(self) -> None:
            found = self.stages(lambda second: (0.5, 100.0) if 10 <= second < 40 else (19.8, 0.0), 120)

            assert found == [(Stage.CONFIRMED, 0, 90)]
