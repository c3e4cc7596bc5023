"""A driver in a process of its own, as the suite runs it in a pod."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from e2e.harness.load import Load, LoadFailedError
from e2e.load.plan import Plan, Target
from e2e.tenant.protocol import SUBPROTOCOL

LONG_SECONDS = 300.0
STOPPED_SECONDS = 0.6
DRIVER = (sys.executable, "-m", "e2e.load")


def answer(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(json.dumps({"id": json.loads(message)["id"], "tenant": "a", "result": {}}))


@pytest.fixture
def target() -> Iterator[Target]:
    with serve(answer, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        yield Target("a", f"ws://127.0.0.1:{port}/", "token", 20, cpu_milliseconds=0)
        server.shutdown()
        thread.join()


def test_it_tells_while_it_runs_and_ends_when_told(target: Target) -> None:
    start = time.monotonic()
    with Load(DRIVER, Plan([target], LONG_SECONDS)) as load:
        load.wait_until(1.0)
        assert set(load.connected.seconds) == {"a"}
        answers = load.between(0.0, 0.5)
        load.stop()
    assert len(answers.answered["a"]) == 10
    assert answers.failures == 0
    assert answers.latencies_ms() == [ms for _, ms in answers.answered["a"]]
    assert time.monotonic() - start < LONG_SECONDS / 2


def test_its_own_lateness_is_told_by_when_it_was(target: Target) -> None:
    with Load(DRIVER, Plan([target], LONG_SECONDS)) as load:
        load.wait_until(0.7)
        stopped = load.now
        os.kill(load._process.pid, signal.SIGSTOP)
        time.sleep(STOPPED_SECONDS)
        os.kill(load._process.pid, signal.SIGCONT)
        load.wait_until(load.now + 2.0)
        meanwhile = load.late_between(stopped, stopped + STOPPED_SECONDS)
        rest = load.late_between(0.0, stopped) + load.late_between(stopped + STOPPED_SECONDS, load.now)
    assert max(meanwhile) > STOPPED_SECONDS * 1000 / 2
    assert sum(meanwhile) > sum(rest)


def test_leaving_ends_it(target: Target) -> None:
    with Load(DRIVER, Plan([target], LONG_SECONDS)) as load:
        process = load._process
    assert process.returncode == 0


def test_a_driver_that_fails_says_why() -> None:
    broken = (sys.executable, "-c", "import sys; sys.exit('no such thing')")
    with pytest.raises(LoadFailedError, match="no such thing"), Load(broken, Plan([], 1.0)):
        pass
