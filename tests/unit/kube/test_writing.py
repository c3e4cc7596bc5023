"""What is written to the API server, and what is made of its answers."""

from typing import Any, cast

import pytest

from tenantquota.api.names import ASKED_AGAIN_ANNOTATION, DECLARED_ANNOTATION
from tenantquota.kube.client import Client
from tenantquota.kube.writing import list_quota_uids, release_pod
from tests.unit.domain.builders import held, res


class Answering:
    """An API server with one answer."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer
        self.bodies: list[Any] = []

    async def request(self, method: str, path: str, body: Any = None, **_: Any) -> dict[str, Any]:
        self.bodies.append(body)
        return self._answer


@pytest.mark.parametrize(
    ("items", "uids"),
    [
        ([{"metadata": {"uid": "u"}}, {"metadata": {"uid": "v"}}], {"u", "v"}),
        pytest.param(None, set(), id="as the API server writes a list of nothing"),
    ],
)
async def test_the_uids_of_all_quotas(items: Any, uids: set[str]) -> None:
    assert await list_quota_uids(cast(Client, Answering({"items": items}))) == uids


async def test_a_pod_that_no_quota_holds_keeps_no_note_of_ours() -> None:
    client = Answering({})
    await release_pod(cast(Client, client), held(res(500, 128)), forget=True)
    (body,) = client.bodies
    assert body["metadata"]["annotations"] == {DECLARED_ANNOTATION: None, ASKED_AGAIN_ANNOTATION: None}
