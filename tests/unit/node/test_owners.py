"""Whose a container is, against a real HTTP server that behaves as API servers do."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.harness.wait import wait_until
from tenantquota.kube.plain import ApiServer
from tenantquota.node import owners as module
from tenantquota.node.containers import Owner
from tenantquota.node.owners import PodIndex, PodWatch, read_pod
from tests.unit.node.apiserver import CUT, EXPIRED, HOLD, REFUSE, FakeApiServer, bookmark, event, pod, serving

DEADLINE_SECONDS = 20.0


def acme(name: str, uid: str = "u1") -> Owner:
    return Owner("acme", "ns-acme", f"agent-{uid}", name)


class TestReading:
    def test_containers_of_every_kind(self) -> None:
        manifest = pod("u1", "a")
        manifest["status"] |= {
            "initContainerStatuses": [{"name": "sidecar", "containerID": "containerd://b"}],
            "ephemeralContainerStatuses": [{"name": "debug", "containerID": "cri-o://c"}],
        }

        uid, found = read_pod(manifest)

        assert uid == "u1"
        assert (found.tenant, found.namespace, found.name) == ("acme", "ns-acme", "agent-u1")
        assert found.containers == {"a": "c0", "b": "sidecar", "c": "debug"}

    def test_a_pod_that_the_kubelet_said_nothing_of(self) -> None:
        manifest = pod("u1", "a")
        del manifest["status"]

        _, found = read_pod(manifest)

        assert found.containers == {}
        assert not found.settled

    @pytest.mark.parametrize(
        ("state", "restart_policy", "settled"),
        [
            ({"running": {}}, None, True),
            ({"waiting": {"reason": "CrashLoopBackOff"}}, None, False),
            ({"terminated": {"exitCode": 1}}, None, False),
            ({"terminated": {"exitCode": 0}}, "Always", False),
            ({"terminated": {"exitCode": 1}}, "OnFailure", False),
            ({"terminated": {"exitCode": 0}}, "OnFailure", True),
            ({"terminated": {"exitCode": 1}}, "Never", True),
            ({}, "Never", False),
        ],
    )
    def test_settled_is_when_no_container_is_awaited(
        self, state: Any, restart_policy: str | None, settled: bool
    ) -> None:
        manifest = pod("u1", "a", "b")
        manifest["status"]["containerStatuses"][1]["state"] = state
        if restart_policy:
            manifest["spec"]["restartPolicy"] = restart_policy

        assert read_pod(manifest)[1].settled is settled

    @pytest.mark.parametrize(
        "manifest",
        [
            None,
            [],
            "pod",
            {},
            {"metadata": {}, "spec": {}},
            {"metadata": None, "spec": None},
            pod("u1", "a") | {"spec": {}},
            pod("u1", "a") | {"status": {"containerStatuses": ["x"]}},
            pod("u1", "a") | {"metadata": {"uid": "u1", "name": "a", "namespace": "b", "labels": {}}},
        ],
    )
    def test_what_is_no_pod_of_a_tenant(self, manifest: Any) -> None:
        with pytest.raises(ValueError, match="not a pod of a tenant"):
            read_pod(manifest)


class TestIndex:
    def test_a_container_that_is_named(self) -> None:
        index = PodIndex()
        index.put(*read_pod(pod("u1", "a")))

        assert index.owner_of("u1", "a") == acme("c0")

    def test_a_container_of_nobody(self) -> None:
        assert PodIndex().owner_of("u1", "a") is None

    def test_the_pause_container_is_the_one_without_a_name(self) -> None:
        index = PodIndex()
        index.put(*read_pod(pod("u1", "a")))

        assert index.owner_of("u1", "pause") is None

    def test_a_new_container_is_the_tenants_before_it_has_a_name(self) -> None:
        index = PodIndex()
        index.put(*read_pod(pod("u1", "a", "")))

        assert index.owner_of("u1", "new") == acme("")

    def test_a_restarted_container_is_the_tenants_before_it_has_a_name(self) -> None:
        index = PodIndex()
        index.put(*read_pod(pod("u1", "old", state="terminated")))

        assert index.owner_of("u1", "new") == acme("")
        assert index.owner_of("u1", "old") == acme("c0")

    def test_revision_tells_of_changes_that_matter_and_of_no_others(self) -> None:
        index = PodIndex()
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
        assert index.owner_of("u2", "a") == acme("c0", "u2")


class Followed:
    """A watch that runs against a server."""

    def __init__(self, server: FakeApiServer, credentials: Path) -> None:
        self.server = server
        self.index = PodIndex()
        self.stop = threading.Event()
        self.watch = PodWatch(ApiServer(server.url, credentials), "n1", self.index, self.stop)
        self.thread = threading.Thread(target=self.watch.run, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def until(self, check: Callable[[], bool], what: str) -> None:
        wait_until(check, what=what, deadline_seconds=DEADLINE_SECONDS, poll_seconds=0.005)

    def until_owner(self, uid: str, container: str, owner: Owner | None) -> None:
        self.until(
            lambda: self.index.owner_of(uid, container) == owner, f"{container} of {uid} to be {owner}"
        )


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Followed]:
    monkeypatch.setattr(module, "FIRST_DELAY_SECONDS", 0.001)
    monkeypatch.setattr(module, "LONGEST_DELAY_SECONDS", 0.02)
    with serving() as server:
        followed = Followed(server, tmp_path)
        yield followed
        followed.stop.set()


class TestWatch:
    def test_asks_for_the_tenants_pods_of_this_node_only(self, followed: Followed) -> None:
        followed.start()
        followed.until(lambda: len(followed.server.watches()) == 1, "the watch")

        for query in (*followed.server.lists(), *followed.server.watches()):
            assert query["fieldSelector"] == "spec.nodeName=n1"
            assert query["labelSelector"] == "tenantquota.io/tenant"
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

        followed.until_owner("u2", "b", None)
        followed.until_owner("u1", "a2", acme("c0"))
        assert followed.index.owner_of("u3", "c") == acme("c0", "u3")
        assert followed.index.complete
        assert followed.watch.errors == 0

    def test_lists_in_pages(self, followed: Followed) -> None:
        followed.server.pods = [pod(f"u{number}", f"c{number}") for number in range(120)]
        followed.start()

        followed.until(lambda: followed.index.complete, "all pods")
        assert len(followed.index) == 120
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
        assert followed.watch.errors == 0, "that a stream ends is no error"

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
        assert followed.index.owner_of("u2", "b") is None, "it is not in the new list"
        assert followed.watch.errors == 1

    def test_lists_anew_when_the_version_is_refused(self, followed: Followed) -> None:
        followed.start()
        followed.until(lambda: len(followed.server.watches()) == 1, "the watch")
        followed.stop.set()
        second = Followed(followed.server, Path())
        second.watch._version = "7"
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

        followed.until_owner("u2", "b", acme("c0", "u2"))
        assert followed.server.watches()[1]["resourceVersion"] == "101", "the cut event comes once more"
        assert len(followed.server.lists()) == 1

    def test_an_event_in_many_pieces(self, followed: Followed) -> None:
        whole = event("ADDED", pod("u1", "a", version="101"))
        followed.server.streams.append([*(whole[at : at + 7] for at in range(0, len(whole), 7)), HOLD])
        followed.start()

        followed.until_owner("u1", "a", acme("c0"))

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

        followed.until_owner("u1", "a", acme("c0"))
        assert followed.watch.errors == 3

    def test_what_was_known_stays_while_nobody_answers(self, followed: Followed) -> None:
        followed.server.pods = [pod("u1", "a")]
        followed.server.streams.extend([[REFUSE]] * 1000)
        followed.start()
        followed.until_owner("u1", "a", acme("c0"))
        revision = followed.index.revision

        followed.until(lambda: followed.watch.errors > 5, "failures")
        assert followed.index.owner_of("u1", "a") == acme("c0")
        assert followed.index.revision == revision

    @pytest.mark.parametrize("stream", [[], [CUT]], ids=["ended", "cut"])
    def test_streams_that_bring_nothing_are_not_asked_for_in_a_hurry(
        self, followed: Followed, stream: list[bytes]
    ) -> None:
        followed.server.streams.extend([stream] * 1000)
        followed.start()

        followed.until(lambda: followed.watch._fruitless > 3, "some streams")
        assert followed.watch.errors == 0
        assert followed.index.complete

    def test_waits_longer_and_longer_but_not_forever(self, followed: Followed) -> None:
        delays = []
        for failures in range(40):
            followed.watch._fruitless = failures
            delays.append(followed.watch._delay_seconds())

        assert max(delays) <= module.LONGEST_DELAY_SECONDS
        assert max(delays[:1]) < min(delays[10:])

    def test_nobody_listens(self, tmp_path: Path) -> None:
        with serving() as server:
            url = server.url
        stop = threading.Event()
        watch = PodWatch(ApiServer(url, tmp_path), "n1", PodIndex(), stop)
        thread = threading.Thread(target=watch.run, daemon=True)
        thread.start()

        wait_until(lambda: watch.errors >= 2, what="two failures", deadline_seconds=DEADLINE_SECONDS)
        stop.set()
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()
