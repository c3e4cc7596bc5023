"""What is made of the API server's answers to writes and lists."""

from typing import Any, cast

import pytest

from tenantquota.kube.client import Client
from tenantquota.kube.writing import list_quota_uids


class Answering:
    """An API server with one answer."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer

    async def request(self, *_: Any, **__: Any) -> dict[str, Any]:
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
