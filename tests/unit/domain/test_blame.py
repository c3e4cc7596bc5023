"""From harms of single seconds to what is told."""

from hypothesis import given
from hypothesis import strategies as st

from tenantquota.api.stalls import Resource
from tenantquota.domain.blame import TOLD_SECONDS, Pair, State, record, step
from tenantquota.domain.dues import OverRequest, OverShare
from tenantquota.domain.stalls import Harm

HOG, OTHER = OverShare("hog", "8:0", 1.0, 1.0, 0.9, 0.5), OverShare("other", "8:0", 1.0, 1.0, 0.8, 0.5)
PAIR = Pair(Resource.IO, "hog", "small")


def harm(victim: str = "small", *culprits: OverShare | OverRequest) -> Harm:
    return Harm(Resource.IO, victim, 100.0, 1.0, culprits or (HOG,))


def run(*seconds: list[Harm]) -> tuple[State, list[int]]:
    """The state after them, and how many harms were new in each."""
    state, new = State(), []
    for number, harms in enumerate(seconds):
        state, found = step(state, harms, float(number))
        new.append(len(found))
    return state, new


class TestStep:
    def test_one_second_is_anybodys(self) -> None:
        state, new = run([harm()], [], [harm()], [])

        assert new == [0, 0, 0, 0]
        assert state.blames == {}

    def test_the_second_is_told(self) -> None:
        state, new = run([harm()], [harm()], [harm()])

        assert new == [0, 1, 0]
        assert state.blames[PAIR].since == 1.0
        assert state.blames[PAIR].last == 2.0

    def test_is_told_for_a_while_after_it_was_last_seen(self) -> None:
        state, _ = run([harm()], [harm()])
        for second in range(2, int(TOLD_SECONDS) + 1):
            state, _ = step(state, [], float(second))
            assert PAIR in state.blames
        state, _ = step(state, [], TOLD_SECONDS + 1)

        assert state == State()

    def test_what_comes_and_goes_is_one_harm(self) -> None:
        pulse: list[list[Harm]] = [[harm()], [harm()], [], [], [], []]
        state, new = run(*pulse * 5)

        assert sum(new) == 1
        assert state.blames[PAIR].since == 1.0

    def test_each_culprit_has_its_own_count(self) -> None:
        state, new = run([harm("small", HOG)], [harm("small", HOG, OTHER)], [harm("small", HOG)])

        assert new == [0, 1, 0]
        assert state.blames.keys() == {PAIR}

    def test_one_harm_of_two_culprits_is_new_once(self) -> None:
        both = harm("small", HOG, OTHER)
        state, new = run([both], [both])

        assert new == [0, 1]
        assert [pair.culprit for pair in state.blames] == ["hog", "other"]
        assert state.blames[PAIR].harm == both

    def test_resources_are_apart(self) -> None:
        memory = Harm(Resource.MEMORY, "small", 100.0, 0.0, (OverRequest("hog", 2, 1),))
        state, new = run([harm(), memory], [harm(), memory])

        assert new == [0, 2]
        assert {pair.resource for pair in state.blames} == {Resource.IO, Resource.MEMORY}

    @given(st.lists(st.booleans(), max_size=60))
    def test_all_is_forgotten_in_the_end(self, seen: list[bool]) -> None:
        state, new = run(*([harm()] if each else [] for each in seen))
        assert sum(new) <= max(0, sum(seen) - 1)
        for second in range(len(seen), len(seen) + 2 * int(TOLD_SECONDS)):
            state, _ = step(state, [], float(second))

        assert state == State()


def test_the_audit_record_says_who_whom_and_by_what() -> None:
    assert record(harm(), "n1", {"stalledMs": 100.0}) == {
        "rule": "NeighbourHarmed",
        "resource": "io",
        "tenant": "small",
        "node": "n1",
        "culprits": [each._asdict() for each in harm().culprits],
        "window": {"stalledMs": 100.0},
    }
