"""Telling agents, against a server that speaks the protocol."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from e2e.harness.administration import StoreCredentials
from e2e.harness.served import Tenant
from e2e.harness.sessions import NoAnswerError, ServedAgent, opened
from e2e.tenant import protocol
from e2e.tenant.client import Address, RequestRefusedError
from e2e.tenant.protocol import Answer, Burn, Crash, Hold, Request, State


class Agent:
    """Does nothing but note what it is told; it refuses to hold, and a crash cuts the connection."""

    def __init__(self) -> None:
        self.told: list[Request] = []
        self.connections = 0
        self.port = 0

    async def converse(self, connection: ServerConnection) -> None:
        self.connections += 1
        async for message in connection:
            number, request = protocol.decode_request(str(message))
            self.told.append(request)
            if isinstance(request, Crash):
                connection.transport.abort()
                return
            answer = Answer(number, "acme", {"cores": 0})
            if isinstance(request, Hold):
                answer = Answer(number, "acme", error="no memory")
            await connection.send(protocol.encode_answer(answer))

    @contextmanager
    def serving(self) -> Iterator[None]:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()

        async def begin() -> Server:
            return await serve(
                self.converse, "127.0.0.1", self.port, subprotocols=[Subprotocol(protocol.SUBPROTOCOL)]
            )

        async def end(server: Server) -> None:
            server.close()
            await server.wait_closed()

        server = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
        self.port = next(iter(server.sockets)).getsockname()[1]
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(end(server), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


class Local(Tenant):
    """A tenant whose agent is on this machine."""

    server: Agent

    def address(self, agent: str = "agent") -> Address:
        return Address(f"ws://127.0.0.1:{self.server.port}/")


@pytest.fixture
def server() -> Agent:
    return Agent()


@pytest.fixture
def agent(server: Agent) -> Iterator[ServedAgent]:
    tenant = Local(cast(Any, None), "acme", "k" * 32, StoreCredentials("", ""), "")
    object.__setattr__(tenant, "server", server)
    with opened() as sessions:
        yield ServedAgent(sessions, tenant)


def test_one_session_has_all_requests(server: Agent, agent: ServedAgent) -> None:
    with server.serving():
        agent.burn(2, percent=30)
        assert agent.state() == {"cores": 0}
        with ThreadPoolExecutor() as threads:
            assert len(list(threads.map(lambda _: agent.state(), range(20)))) == 20
    assert server.told[:2] == [Burn(2, 30), State()]
    assert server.connections == 1


def test_a_restarted_agent_is_found_again(server: Agent, agent: ServedAgent) -> None:
    with server.serving():
        agent.state()
    with pytest.raises(NoAnswerError, match="acme/agent"):
        agent.state()
    with server.serving():
        agent.wait_answering()
    assert server.connections == 2


def test_who_goes_before_it_answers_is_told_of(server: Agent, agent: ServedAgent) -> None:
    with server.serving():
        with pytest.raises(NoAnswerError):
            agent.sessions.ask(agent.tenant, agent.name, Crash())
        assert agent.state() == {"cores": 0}
    assert server.connections == 2


def test_a_refusal_is_no_missing_answer(server: Agent, agent: ServedAgent) -> None:
    with server.serving(), pytest.raises(RequestRefusedError, match="no memory"):
        agent.hold(1)
