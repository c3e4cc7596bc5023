from tenantquota.domain.selectors import claim
from tests.unit.domain.builders import container, pod, quota, res

blue = pod(container(res()), name="blue", labels={"color": "blue"})
red = pod(container(res()), name="red", labels={"color": "red"})


def test_disjoint_quotas_share_a_namespace() -> None:
    claims = claim(
        [quota(name="b", labels={"color": "blue"}), quota(name="g", labels={"color": "green"})], [blue, red]
    )
    assert claims.by_quota == {"uid-b": (blue,), "uid-g": ()}
    assert claims.free == (red,)


def test_a_pod_of_two_quotas_is_nobodys_and_both_are_told() -> None:
    claims = claim([quota(name="b", labels={"color": "blue"}), quota(name="all")], [blue, red])
    assert claims.by_quota == {"uid-b": (), "uid-all": (red,)}
    assert claims.overlaps == {"uid-b": ((blue, ("all",)),), "uid-all": ((blue, ("b",)),)}
    assert claims.free == ()


def test_a_quota_that_observes_stands_in_nobodys_way() -> None:
    claims = claim([quota(name="b", labels={"color": "blue"}), quota(name="try", observe=True)], [blue])
    assert claims.by_quota["uid-b"] == (blue,)
    assert claims.overlaps["uid-try"] == ((blue, ("b",)),)
