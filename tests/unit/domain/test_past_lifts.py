import pytest

from tenantquota.domain.past_lifts import SHOWN_AGAIN_SECONDS, outlives_its_lift
from tenantquota.domain.plan import Observation, QuotaPlan, plan_namespace
from tenantquota.domain.reports import NodeAccount, Yielding
from tenantquota.domain.truth import Witness
from tests.unit.domain.builders import held, quota, report, reported, res

IN_FORCE = res(500, 128, 50, 16)
LIFTED = held(IN_FORCE, cpu_excess_milli=30)
SOMEBODY = {"hog": Yielding("2026-01-01T00:00:00Z", (), "wants all")}
QUIET = report((LIFTED, reported()))


@pytest.mark.parametrize(
    ("account", "past"),
    [
        (QUIET, True),
        (report((LIFTED, reported()), yielding=SOMEBODY), False),
        (report((LIFTED, reported()), age_seconds=60), False),
        (None, False),
    ],
)
def test_a_lift_is_past_when_nobody_yields(account: NodeAccount | None, past: bool) -> None:
    assert outlives_its_lift(LIFTED, account) is past


def test_a_pod_that_shows_what_it_requests_has_none() -> None:
    assert not outlives_its_lift(held(IN_FORCE), QUIET)


class TestAsking:
    def plan(self, *, observe: bool = False, asked_ago: float | None = None) -> QuotaPlan:
        seen = Observation(
            "acme",
            (quota(observe=observe),),
            pods=(LIFTED,),
            witnesses={LIFTED.uid: Witness(QUIET)},
            asked_seconds={} if asked_ago is None else {LIFTED.uid: asked_ago},
        )
        (plan,) = plan_namespace(seen).quotas
        return plan

    def test_the_kubelet_is_had_to_look(self) -> None:
        assert self.plan().asks == (LIFTED,)
        assert self.plan().acts == ()

    def test_but_not_again_and_again(self) -> None:
        assert self.plan(asked_ago=SHOWN_AGAIN_SECONDS - 0.1).asks == ()
        assert self.plan(asked_ago=SHOWN_AGAIN_SECONDS).asks == (LIFTED,)

    def test_nor_for_who_only_observes(self) -> None:
        assert self.plan(observe=True).asks == ()
