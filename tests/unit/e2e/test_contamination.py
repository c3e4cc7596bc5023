"""What a case notes of canaries."""

from typing import cast

import pytest

from e2e.harness.administration import StoreCredentials
from e2e.harness.canaries import POSTGRES, REDIS, Finding
from e2e.harness.cluster import Cluster
from e2e.harness.contamination import Contamination
from e2e.harness.served import Tenant
from e2e.results import BoundMissedError, Recorder


def tenant(name: str) -> Tenant:
    return Tenant(cast(Cluster, None), name, "key", StoreCredentials("p", "r"), f"canary{name}")


ACME, EMCA = tenant("acme"), tenant("emca")


@pytest.fixture
def record() -> Recorder:
    return Recorder(7, "Recovery", "", tenants=2)


@pytest.fixture
def contamination() -> Contamination:
    """Everybody's own canary was seen everywhere."""
    made = Contamination([ACME, EMCA])
    for each in (ACME, EMCA):
        made.witness(each)(f'{{"result": "{each.canary}"}}')
        for place in (REDIS, POSTGRES):
            made.look(Finding(each.name, place, each.canary))
    return made


def test_tenants_that_are_kept_apart(contamination: Contamination, record: Recorder) -> None:
    contamination.note(record)
    assert [(bound.measured, bound.met) for bound in record.bounds] == [(0, True), (6, True)]


def test_a_foreign_canary_in_any_reply_of_any_customer_is_found(
    contamination: Contamination, record: Recorder
) -> None:
    contamination.witness(ACME)(f'{{"id": 7, "result": {{"memory": "{EMCA.canary}"}}}}')
    with pytest.raises(BoundMissedError, match="canaries found with another tenant: 1"):
        contamination.note(record)
    assert record.notes == ["reply of acme has the canary of emca"]


def test_a_search_that_is_blind_fails(record: Recorder) -> None:
    with pytest.raises(BoundMissedError, match="own canaries found in reply, Redis and PostgreSQL: 0"):
        Contamination([ACME, EMCA]).note(record)
    assert record.bounds[0].met
