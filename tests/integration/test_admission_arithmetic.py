"""Admission (CEL in the chart) and the controller (Python) come to the same resources, to the last byte.

Otherwise the controller would resize every new pod, or a pod would have limits that depend on who came first.
"""

import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tenantquota.domain.limits import decide_container
from tenantquota.domain.model import Quota
from tenantquota.kube.reading import read_pod, read_quota
from tests.integration.kubectl import DECLARED_ANNOTATION, Kubectl, Manifest, pod, resources

CONTAINERS_PER_POD = 20

QUOTAS: dict[str, Manifest] = {
    "round": {"limits": {"cpu": "500m", "memory": "512Mi"}},
    "requests": {"limits": {"cpu": "2", "memory": "2Gi"}, "requests": {"cpu": "50m", "memory": "64Mi"}},
    "fractions": {
        "limits": {"cpu": "0.28999999", "memory": "100000000.5"},
        "requests": {"cpu": "1001u", "memory": "1048576001m"},
    },
    "equal": {"limits": {"cpu": "0.3", "memory": "1.1Gi"}, "requests": {"cpu": "0.3", "memory": "1.1Gi"}},
    "least": {"limits": {"cpu": "10m", "memory": "16Mi"}, "requests": {"cpu": "1m"}},
    "most": {"limits": {"cpu": "1024", "memory": "64Ti"}},
}

thousandths = st.integers(0, 2_000_000).map(lambda n: f"{n}m")
decimals = st.decimals(0, 2000, places=3).map(lambda n: format(n, "f"))
cpu = st.one_of(
    thousandths,
    decimals,
    st.integers(0, 3000).map(str),
    st.integers(0, 10_000_000).map(lambda n: f"{n}u"),
    st.integers(0, 10**9).map(lambda n: f"{n}n"),
    st.sampled_from(["0.29", "1.001", "290m", "2500u", "0.1", "1e3", "9E", "499m", "500m", "501m", "0.2999"]),
)
memory = st.one_of(
    st.integers(0, 2**47).map(str),
    st.integers(0, 2**21).map(lambda n: f"{n}Ki"),
    st.decimals(0, 4096, places=2).map(lambda n: f"{format(n, 'f')}Mi"),
    st.decimals(0, 100, places=3).map(lambda n: f"{format(n, 'f')}G"),
    st.integers(0, 10**12).map(lambda n: f"{n}m"),
    st.sampled_from(["1.5Gi", "0.1", "1e9", "9E", "512Mi", "536870911", "536870913", "64Ti"]),
)


def some(of: st.SearchStrategy[str]) -> st.SearchStrategy[str | None]:
    return st.none() | of


containers = st.tuples(some(cpu), some(memory), some(cpu), some(memory)).map(
    lambda four: {
        part: {key: value for key, value in {"cpu": of[0], "memory": of[1]}.items() if value is not None}
        for part, of in (("limits", four[:2]), ("requests", four[2:]))
    }
)


@pytest.fixture(scope="module")
def quotas(kubectl: Kubectl, new_namespace: Callable[[str], str]) -> dict[str, Quota]:
    """The quotas of QUOTAS as the controller reads them; each selects pods labelled ``quota: NAME``."""
    namespace = new_namespace("arithmetic")
    for name, container in QUOTAS.items():
        kubectl.give_quota(
            namespace, {"selector": {"matchLabels": {"quota": name}}, "container": container}, name
        )
    kubectl.wait_for_admission(namespace)
    listed = kubectl.get("tenantquotas", f"--namespace={namespace}")["items"]
    read = {quota.name: quota for quota in map(read_quota, listed) if isinstance(quota, Quota)}
    return {name: read[name] for name in QUOTAS}


@pytest.mark.parametrize("name", QUOTAS)
def test_controller_would_change_nothing(kubectl: Kubectl, quotas: dict[str, Quota], name: str) -> None:
    quota = quotas[name]

    # shrinking would ask the API server for minutes, and the message names the container anyhow
    @settings(
        max_examples=4,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(declared=st.lists(containers, min_size=CONTAINERS_PER_POD, max_size=CONTAINERS_PER_POD))
    def agrees(declared: list[Manifest]) -> None:
        created = kubectl.try_create(pod(quota.namespace, *declared, labels={"quota": name})).manifest
        seen = read_pod(created)
        assert seen is not None
        assert created["status"]["qosClass"] == "Burstable"
        assert len(seen.containers) == CONTAINERS_PER_POD

        noted = json.loads(created["metadata"]["annotations"][DECLARED_ANNOTATION])
        for container, wrote in zip(seen.containers, declared, strict=True):
            said = f"{wrote} became {resources(created)[container.name]}"
            assert decide_container(seen.declared_of(container), quota.container) == container.spec, said
            assert same(noted[container.name], defaulted(wrote)), said

    agrees()


def defaulted(declared: Manifest) -> Manifest:
    """As the API server completes it before any policy: a limit is the request that isn't declared."""
    return {"limits": declared["limits"], "requests": declared["limits"] | declared["requests"]}


def same(noted: Manifest, declared: Manifest) -> bool:
    """Whether both say the same numbers, rounded up to thousandths as the API server rounds a pod's."""
    return {part: in_thousandths(noted.get(part, {})) for part in declared} == {
        part: in_thousandths(of) for part, of in declared.items()
    }


def in_thousandths(quantities: dict[str, Any]) -> dict[str, int]:
    units = {"n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1)}
    units |= {"k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12)}
    units |= {"P": Fraction(10**15), "E": Fraction(10**18)}
    units |= {f"{unit}i": Fraction(1024**power) for power, unit in enumerate("KMGTPE", start=1)}
    found = {}
    for resource, quantity in quantities.items():
        number = quantity.rstrip("numkKMGTPEi")
        found[resource] = -int(-Fraction(number) * units[quantity[len(number) :]] * 1000 // 1)
    return found
