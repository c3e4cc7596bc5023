"""Objects followed at a real HTTP server that behaves as API servers do."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.harness.wait import wait_until
from tenantquota.kube.plain import ApiServer
from tenantquota.node import informer as module
from tenantquota.node.informer import Index, Informer
from tenantquota.node.owners import PODS, Pod, read_pod
from tests.unit.node.apiserver import CUT, EXPIRED, HOLD, REFUSE, FakeApiServer, bookmark, event, pod, serving

DEADLINE_SECONDS = 20.0


class TestIndex:
    def test_revision_tells_of_changes_that_matter_and_of_no_others(self) -> None:
        index = Index[Pod]()
        index.put(*read_pod(pod("u1", "a")))
        revision = index.revision
        index.put(*read_pod(pod("u1", "a", version="2")))
        index.replace(dict([read_pod(pod("u1", "a", version="3"))]))
        index.drop("u2")
        assert index.revision == revision

        index.put(*read_pod(pod("u1", "b")))
        assert index.revision > revision
        revision = index.revision
        index.drop("u1")
        assert index.revision > revision
        revision = index.revision
        index.replace(dict([read_pod(pod("u2", "a"))]))
        assert index.revision > revision
        assert index.get("u2") is not None


def containers(index: Index[Pod], uid: str) -> set[str]:
    """Of a pod, by id; empty where there is no such pod."""
    found = index.get(uid)
    return set() if found is None else set(found.containers)


def informer(url: str, credentials: Path, index: Index[Pod], stop: threading.Event) -> Informer[Pod]:
    selection = {"fieldSelector": "spec.nodeName=n1"}
    return Informer(ApiServer(url, credentials), PODS, selection, read_pod, index, stop)


class Followed:
    """An informer that runs against a server."""

    def __init__(self, server: FakeApiServer, credentials: Path) -> None:
        self.server = server
        self.index = Index[Pod]()
        self.stop = threading.Event()
        self.informer = informer(server.url, credentials, self.index, self.stop)
        self.thread = threading.Thread(target=self.informer.run, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def until(self, check: Callable[[], bool], what: str) -> None:
        wait_until(check, what=what, deadline_seconds=DEADLINE_SECONDS, poll_seconds=0.005)

    def until_there(self, uid: str, *ids: str) -> None:
        self.until(lambda: containers(self.index, uid) == set(ids), f"{uid} to have containers {ids}")


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Followed]:
    monkeypatch.setattr(module, "FIRST_DELAY_SECONDS", 0.001)
    monkeypatch.setattr(module, "LONGEST_DELAY_SECONDS", 0.02)
    with serving() as server:
        followed = Followed(server, tmp_path)
        yield followed
        followed.stop.set()


class TestInformer:
    def test_asks_for_what_is_selected_only(self, followed: Followed) -> None:
        followed.start()
        followed.until(lambda: len(followed.server.watches()) == 1, "the watch")

        for query in (*followed.server.lists(), *followed.server.watches()):
            assert query["fieldSelector"] == "spec.nodeName=n1"
        assert {path for _, path, _ in followed.server.requests} == {"/api/v1/pods"}

    def test_what_there_is_and_what_changes(self, followed: Followed) -> None:
        followed.server.pods = [pod("u1", "a"), pod("u2", "b", tenant="beta")]
        followed.server.streams.append(
            [
                event("ADDED", pod("u3", "c", version="101")),
                event("MODIFIED", pod("u1", "a2", version="102")),
                event("DELETED", pod("u2", "b", version="103")),
                HOLD,
            ]
        )
        followed.start()

        followed.until_there("u2")
        followed.until_there("u1", "a2")
        assert containers(followed.index, "u3") == {"c"}
        assert followed.index.complete
        assert followed.informer.errors == 0

    def test_lists_in_pages(self, followed: Followed) -> None:
        followed.server.pods = [pod(f"u{number}", f"c{number}") for number in range(120)]
        followed.start()

        followed.until(lambda: followed.index.complete, "all pods")
        assert len(list(followed.index.values())) == 120
        assert [query.get("continue") for query in followed.server.lists()] == [None, "50", "100"]

    def test_goes_on_where_the_stream_ended(self, followed: Followed) -> None:
        """Bookmarks count: else a quiet node would start from a version that is long gone."""
        followed.server.streams.extend(
            [
                [event("ADDED", pod("u1", "a", version="105")), bookmark("140")],
                [event("ADDED", pod("u2", "b", version="150"))],
            ]
        )
        followed.start()
        followed.until(lambda: len(followed.server.watches()) == 3, "the third watch")

        assert [query["resourceVersion"] for query in followed.server.watches()] == ["100", "140", "150"]
        assert all(query["allowWatchBookmarks"] == "true" for query in followed.server.watches())
        assert len(followed.server.lists()) == 1
        assert followed.informer.errors == 0, "that a stream ends is no error"

    @pytest.mark.parametrize(
        "ending",
        [
            pytest.param([EXPIRED], id="told in the stream"),
            pytest.param([b"{garbage\n"], id="garbage"),
            pytest.param([b"\xff\xfe\n"], id="not even text"),
            pytest.param([b"\n"], id="empty line"),
            pytest.param([b"[]\n"], id="no event"),
            pytest.param([b'{"type": "ADDED"}\n'], id="half an event"),
            pytest.param([b'{"type": "ADDED", "object": {"metadata": {}}}\n'], id="no version"),
            pytest.param([event("ADDED", {"metadata": {"resourceVersion": "120"}})], id="a pod that is none"),
        ],
    )
    def test_lists_anew_when_changes_may_be_missed(self, followed: Followed, ending: list[bytes]) -> None:
        followed.server.pods = [pod("u1", "a")]
        followed.server.streams.append([event("ADDED", pod("u2", "b", version="101")), *ending, HOLD])
        followed.start()
        followed.until(lambda: len(followed.server.watches()) == 2, "the second watch")

        assert len(followed.server.lists()) == 2
        assert followed.server.watches()[1]["resourceVersion"] == "100"
        assert not containers(followed.index, "u2"), "it is not in the new list"
        assert followed.informer.errors == 1

    def test_lists_anew_when_the_version_is_refused(self, followed: Followed) -> None:
        followed.start()
        followed.until(lambda: len(followed.server.watches()) == 1, "the watch")
        followed.stop.set()
        second = Followed(followed.server, Path())
        second.informer._version = "7"
        followed.server.refusals.append((410, b'{"message": "too old"}'))
        second.start()

        second.until(lambda: second.index.complete, "a list")
        second.stop.set()

    @pytest.mark.parametrize("end", [CUT, b""], ids=["connection lost", "clean end"])
    def test_a_line_cut_short_is_not_lost(self, followed: Followed, end: bytes) -> None:
        whole = event("ADDED", pod("u2", "b", version="102"))
        first = [event("ADDED", pod("u1", "a", version="101")), whole[: len(whole) // 2]]
        followed.server.streams.append([*first, end] if end else first)
        followed.server.streams.append([whole, HOLD])
        followed.start()

        followed.until_there("u2", "b")
        assert followed.server.watches()[1]["resourceVersion"] == "101", "the cut event comes once more"
        assert len(followed.server.lists()) == 1

    def test_an_event_in_many_pieces(self, followed: Followed) -> None:
        whole = event("ADDED", pod("u1", "a", version="101"))
        followed.server.streams.append([*(whole[at : at + 7] for at in range(0, len(whole), 7)), HOLD])
        followed.start()

        followed.until_there("u1", "a")

    @pytest.mark.parametrize(
        "refusal",
        [
            (500, b'{"message": "etcd is slow"}'),
            (403, b'{"message": "pods is forbidden"}'),
            (401, b"Unauthorized"),
            (429, b""),
            (200, b"<html>a proxy's page</html>"),
            (200, b"{}"),
            (200, b"[]"),
            (200, b'{"metadata": {"resourceVersion": "1"}, "items": [1]}'),
        ],
    )
    def test_tries_again_whatever_the_answer(self, followed: Followed, refusal: tuple[int, bytes]) -> None:
        followed.server.pods = [pod("u1", "a")]
        followed.server.refusals.extend([refusal] * 3)
        followed.start()

        followed.until_there("u1", "a")
        assert followed.informer.errors == 3

    def test_what_was_known_stays_while_nobody_answers(self, followed: Followed) -> None:
        followed.server.pods = [pod("u1", "a")]
        followed.server.streams.extend([[REFUSE]] * 1000)
        followed.start()
        followed.until_there("u1", "a")
        revision = followed.index.revision

        followed.until(lambda: followed.informer.errors > 5, "failures")
        assert containers(followed.index, "u1") == {"a"}
        assert followed.index.revision == revision

    @pytest.mark.parametrize("stream", [[], [CUT]], ids=["ended", "cut"])
    def test_streams_that_bring_nothing_are_not_asked_for_in_a_hurry(
        self, followed: Followed, stream: list[bytes]
    ) -> None:
        followed.server.streams.extend([stream] * 1000)
        followed.start()

        followed.until(lambda: followed.informer._fruitless > 3, "some streams")
        assert followed.informer.errors == 0
        assert followed.index.complete

    def test_waits_longer_and_longer_but_not_forever(self, followed: Followed) -> None:
        delays = []
        for failures in range(40):
            followed.informer._fruitless = failures
            delays.append(followed.informer._delay_seconds())

        assert max(delays) <= module.LONGEST_DELAY_SECONDS
        assert max(delays[:1]) < min(delays[10:])

    def test_nobody_listens(self, tmp_path: Path) -> None:
        with serving() as server:
            url = server.url
        stop = threading.Event()
        nobody = informer(url, tmp_path, Index[Pod](), stop)
        thread = threading.Thread(target=nobody.run, daemon=True)
        thread.start()

        wait_until(lambda: nobody.errors >= 2, what="two failures", deadline_seconds=DEADLINE_SECONDS)
        stop.set()
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()
