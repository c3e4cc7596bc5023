import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantquota.domain.limits import decide_container, restore_container
from tenantquota.domain.model import NOTHING, ContainerQuota, QosClass, Resources
from tests.unit.domain.builders import MI, res

QUOTA = ContainerQuota(500, 128 * MI, 50, 32 * MI)
WITHOUT_REQUESTS = ContainerQuota(500, 120 * MI)


@pytest.mark.parametrize(
    ("declared", "decided"),
    [
        pytest.param(NOTHING, res(500, 128, 50, 32), id="nothing declared"),
        pytest.param(res(200, 64, 20, 16), res(200, 64, 20, 16), id="lower stays"),
        pytest.param(res(4000, 1024, 2000, 512), res(500, 128, 50, 32), id="higher is lowered"),
        pytest.param(res(cpu_request=100), res(500, 128, 50, 32), id="only a request"),
        pytest.param(res(30, 16), res(30, 16, 29, 16), id="own limit below the quota's request"),
        pytest.param(res(40, 64, 40, 64), res(40, 64, 39, 32), id="never Guaranteed"),
        pytest.param(Resources(0, 0, 0, 0), Resources(500, 128 * MI, 0, 0), id="a limit of 0 is none"),
    ],
)
def test_limits_of_a_container(declared: Resources, decided: Resources) -> None:
    assert decide_container(declared, QUOTA) == decided


def test_requests_default_to_a_tenth_of_the_limit() -> None:
    assert decide_container(NOTHING, WITHOUT_REQUESTS) == res(500, 120, 50, 12)


def test_declared_requests_stay_where_the_quota_says_none() -> None:
    assert decide_container(res(cpu_request=400, memory_request=100), WITHOUT_REQUESTS) == res(
        500, 120, 400, 100
    )


def test_a_guaranteed_pod_stays_guaranteed() -> None:
    decided = decide_container(res(2000, 256, 2000, 256), QUOTA, QosClass.GUARANTEED)
    assert decided == res(500, 128, 500, 128)


amounts = st.none() | st.integers(0, 10**6)
anything = st.builds(Resources, amounts, amounts, amounts, amounts)
quotas = st.builds(
    ContainerQuota,
    st.integers(10, 10**6),
    st.integers(1, 10**6),
    st.none() | st.integers(1, 10**6),
    st.none(),
)


@given(anything, quotas)
def test_no_container_passes_its_quota_and_none_is_guaranteed_or_best_effort(
    declared: Resources, quota: ContainerQuota
) -> None:
    decided = decide_container(declared, quota)
    assert decided.cpu_limit_milli is not None
    assert decided.memory_limit_bytes is not None
    assert 0 < decided.cpu_limit_milli <= quota.cpu_limit_milli
    assert 0 < decided.memory_limit_bytes <= quota.memory_limit_bytes
    assert decided.cpu_request_milli is not None
    assert decided.cpu_request_milli < decided.cpu_limit_milli
    assert decided.memory_request_bytes is not None
    assert decided.memory_request_bytes <= decided.memory_limit_bytes


@given(anything, quotas)
def test_deciding_twice_changes_nothing(declared: Resources, quota: ContainerQuota) -> None:
    once = decide_container(declared, quota)
    assert decide_container(once, quota) == once


@pytest.mark.parametrize(
    ("declared", "restored"),
    [
        pytest.param(res(2000, 1024, 100, 64), res(2000, 1024, 100, 64), id="all comes back"),
        pytest.param(NOTHING, res(500, 128, 50, 32), id="nothing declared: limits can't be removed"),
        pytest.param(res(cpu_limit=2000), res(2000, 128, 50, 32), id="cpu only"),
        pytest.param(
            res(2000, 1024, 2000, 1024), res(2000, 1024, 1999, 1024), id="was Guaranteed: stays Burstable"
        ),
    ],
)
def test_what_a_pod_declared_comes_back(declared: Resources, restored: Resources) -> None:
    assert restore_container(declared, res(500, 128, 50, 32), QosClass.BURSTABLE) == restored
