"""The client against a real HTTP server that misbehaves as API servers do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from tenantquota.kube import client as module
from tenantquota.kube.client import STRATEGIC_MERGE_PATCH, Client, GoneError, RefusedError, UnavailableError
from tenantquota.kube.writing import evict_pod, list_quota_uids
from tests.unit.domain.builders import pod

Answers = list[tuple[int, dict[str, Any], dict[str, str]]]


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_DELAY_SECONDS", 0.001)


@asynccontextmanager
async def serving(answers: Answers) -> AsyncIterator[tuple[Client, list[web.Request]]]:
    """A client of a server that gives one answer after another, the last one again and again."""
    requests: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        status, body, headers = answers[min(len(requests), len(answers) - 1)]
        requests.append(request)
        return web.json_response(body, status=status, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with ApiClient(Configuration(host=f"http://127.0.0.1:{port}")) as api:
            yield Client(api), requests
    finally:
        await runner.cleanup()


def answer(status: int, message: str = "", **headers: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    return status, {"message": message}, headers


async def test_an_answer_is_a_dictionary_and_the_request_says_what_it_is() -> None:
    async with serving([(200, {"metadata": {"generation": 7}}, {})]) as (client, requests):
        body = {"spec": {}}
        query = {"fieldManager": "tenantquota"}
        got = await client.request(
            "PATCH", "/api/v1/x", body, content_type=STRATEGIC_MERGE_PATCH, query=query
        )
    assert got == {"metadata": {"generation": 7}}
    assert requests[0].headers["Content-Type"] == STRATEGIC_MERGE_PATCH
    assert requests[0].query == {"fieldManager": "tenantquota"}


@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_what_may_pass_is_tried_again(status: int) -> None:
    async with serving([answer(status), answer(status), (200, {}, {})]) as (client, requests):
        assert await client.request("PATCH", "/x", {}) == {}
    assert len(requests) == 3


async def test_retry_after_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_DELAY_SECONDS", 0.01)
    async with serving([(429, {}, {"Retry-After": "1"}), (200, {}, {})]) as (client, requests):
        await client.request("GET", "/x")
    assert len(requests) == 2


async def test_what_never_passes_is_unavailable_with_the_servers_words() -> None:
    async with serving([answer(503, "etcd is slow")]) as (client, requests):
        with pytest.raises(UnavailableError, match="etcd is slow"):
            await client.request("GET", "/x")
    assert len(requests) == module._ATTEMPTS


async def test_no_server_is_unavailable() -> None:
    async with serving([]) as (client, _):
        pass
    async with ApiClient(client._api.configuration) as api:
        with pytest.raises(UnavailableError, match="no answer"):
            await Client(api).request("GET", "/x")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (answer(404, "pods p not found"), GoneError),
        (answer(409, "Precondition failed: UID in precondition: a, UID in object meta: b"), GoneError),
        (answer(403, "exceeded quota"), RefusedError),
        (answer(422, "Pod QOS Class may not change"), RefusedError),
    ],
)
async def test_what_is_final_is_not_tried_again(given: tuple[Any, Any, Any], error: type[Exception]) -> None:
    async with serving([given]) as (client, requests):
        with pytest.raises(error, match=given[1]["message"]):
            await client.request("PATCH", "/x", {})
    assert len(requests) == 1


async def test_an_error_that_is_no_status_is_shown_as_it_is() -> None:
    async with serving([(400, {"not": "a status"}, {})]) as (client, _):
        with pytest.raises(RefusedError, match="HTTP 400"):
            await client.request("GET", "/x")


@pytest.mark.parametrize(
    ("items", "uids"),
    [(None, set()), ([], set()), ([{"metadata": {"uid": "a"}}, {"metadata": {"uid": "b"}}], {"a", "b"})],
)
async def test_quotas_are_listed_also_where_there_are_none(items: Any, uids: set[str]) -> None:
    async with serving([(200, {"items": items}, {})]) as (client, requests):
        assert await list_quota_uids(client) == uids
    assert "as=PartialObjectMetadataList" in requests[0].headers["Accept"]


@pytest.mark.parametrize("status", [429, 500])
async def test_an_eviction_that_a_disruption_budget_refuses_is_not_asked_for_again(status: int) -> None:
    """It would hold up the namespace, and be refused as well a moment later."""
    words = "Cannot evict pod as it would violate the pod's disruption budget."
    async with serving([answer(status, words)]) as (client, requests):
        with pytest.raises(RefusedError, match="disruption budget"):
            await evict_pod(client, pod())
    (request,) = requests
    assert (request.method, request.path) == ("POST", "/api/v1/namespaces/acme/pods/p/eviction")


async def test_an_eviction_of_a_pod_that_was_made_anew_finds_it_gone() -> None:
    words = "Precondition failed: UID in precondition: uid-p, UID in object meta: uid-q"
    async with serving([answer(409, words)]) as (client, _):
        with pytest.raises(GoneError):
            await evict_pod(client, pod())
