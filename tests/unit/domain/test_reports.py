import pytest

from tenantquota.api.status import Usage
from tenantquota.domain.reports import Reported, Use, differences, usage_to_show, use_of
from tests.unit.domain.builders import MI, held, report, reported, res

ASKED = res(300, 64, 50, 32)


def test_the_same_limits_differ_in_nothing() -> None:
    assert [*differences(ASKED, reported(300, 64))] == []


def test_each_other_limit_is_told_with_both_values() -> None:
    assert [*differences(ASKED, reported(900, 32))] == [
        "cpu limit is 900m, not 300m",
        "memory limit is 32Mi, not 64Mi",
    ]
    assert [*differences(ASKED, reported(None, None))] == [
        "cpu limit is none, not 300m",
        "memory limit is none, not 64Mi",
    ]


@pytest.mark.parametrize(
    ("asked", "found", "same"),
    [
        pytest.param(299, 299, True, id="cgroupfs driver"),
        pytest.param(299, 300, True, id="systemd driver, whole percents"),
        pytest.param(291, 310, False, id="a step too many"),
        pytest.param(299, 290, False, id="rounded down"),
        pytest.param(5, 10, True, id="the kernel's least"),
        pytest.param(None, 100, True, id="nothing asked for"),
    ],
)
def test_cpu_limits_as_the_runtime_rounds_them(asked: int | None, found: int, same: bool) -> None:
    assert (not [*differences(res(asked), reported(found))]) is same


@pytest.mark.parametrize(
    ("found", "same"),
    [(10**9, True), (10**9 // 4096 * 4096, True), (10**9 // 65536 * 65536, True), (10**9 + 1, False)],
)
def test_memory_limits_in_whole_pages(found: int, same: bool) -> None:
    asked = res(300)
    asked = type(asked)(asked.cpu_limit_milli, 10**9)
    assert (not [*differences(asked, Reported(300, found))]) is same


def test_use_is_summed_over_the_nodes_that_report() -> None:
    one, two, elsewhere = (held(ASKED, name=name) for name in ("one", "two", "elsewhere"))
    account = report((one, reported(cpu=100, memory=10)), (two, reported(cpu=None, memory=20)))
    assert use_of([(one, account), (two, account), (elsewhere, None)]) == Use(100, 30 * MI)


def test_use_is_unknown_where_nobody_reports_it() -> None:
    pod = held(ASKED)
    assert use_of([(pod, None)]) is None
    assert use_of([(pod, report())]) is None
    assert use_of([(pod, report((pod, reported()), age_seconds=46))]) is None


class TestUsageToShow:
    shown = Usage(cpu="200m", memory="100Mi")

    def test_what_is_new_is_shown_at_once_and_rounded(self) -> None:
        assert usage_to_show(Use(1234, 100 * MI + 1), None, 0) == Usage(cpu="1230m", memory="100Mi")

    @pytest.mark.parametrize("use", [Use(220, 100 * MI), Use(180, 110 * MI), Use(200, 90 * MI)])
    def test_what_is_nearly_so_stays(self, use: Use) -> None:
        assert usage_to_show(use, self.shown, 3600) == self.shown

    @pytest.mark.parametrize("use", [Use(221, 100 * MI), Use(200, 89 * MI)])
    def test_a_tenth_is_a_change_but_not_before_its_time(self, use: Use) -> None:
        assert usage_to_show(use, self.shown, 14.9) == self.shown
        assert usage_to_show(use, self.shown, 15) not in {None, self.shown}

    def test_an_idle_tenant_is_not_written_for_a_millicore(self) -> None:
        idle = Usage(cpu="0", memory="9Mi")
        assert usage_to_show(Use(9, 10 * MI), idle, 60) == idle
        assert usage_to_show(Use(11, 10 * MI), idle, 60) != idle

    def test_what_is_no_longer_known_goes_at_once(self) -> None:
        assert usage_to_show(None, self.shown, 0) is None
