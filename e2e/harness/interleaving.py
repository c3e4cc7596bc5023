"""A scene's windows of quiet, of noise that is only observed and of noise that is held, in turn."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from e2e.harness.isolation import Scene
from e2e.results import MomentKind
from e2e.specification import MITIGATED_WITHIN_SECONDS, RECOVERED_WITHIN_SECONDS
from e2e.validation.windows import Kind, Window

SETTLED_SECONDS: Final = 2.0
"""After noise that nobody held, for what is queued. Also after limits were set: by resizes, which keep the
node's own programs at work for a second."""


@dataclass
class Interleaved:
    """
    Attributes:
        held_after_seconds, given_back_after_seconds: of each window that was held, from onset and from quiet.
        all_done_after_seconds: from onset until the operator had done all that it does.
    """

    windows: list[Window] = field(default_factory=list)
    held_after_seconds: list[float] = field(default_factory=list)
    all_done_after_seconds: list[float] = field(default_factory=list)
    given_back_after_seconds: list[float] = field(default_factory=list)


def interleaved(
    scene: Scene,
    kinds: Iterable[Kind],
    window_seconds: float,
    tell: Callable[[Kind], object] = lambda _: None,
) -> Interleaved:
    """All windows. One that is held begins when every noisy tenant is, by all means that the operator has;
    what comes before isn't part of it.

    Args:
        tell: hears of each window before it begins.

    Raises:
        DeadlineExceededError: when who is noisy isn't held, or given back, within the specification's times.
    """
    made = Interleaved()
    starts: list[tuple[Kind, float]] = []

    def measure(kind: Kind) -> None:
        starts.append((kind, scene.load.now))
        time.sleep(window_seconds)  # what is measured

    for kind in kinds:
        tell(kind)
        if kind is Kind.QUIET:
            measure(kind)
            continue
        scene.enforce("Enforce" if kind is Kind.HELD else "Observe")
        with scene.noise():
            if kind is Kind.HELD:
                held_seconds = scene.wait_for(MomentKind.HELD, MITIGATED_WITHIN_SECONDS)
                made.held_after_seconds.append(held_seconds)
                made.all_done_after_seconds.append(held_seconds + scene.wait_capped())
                time.sleep(SETTLED_SECONDS)  # as after noise that nobody held
            measure(kind)
        if kind is Kind.HELD:
            back = scene.wait_for(MomentKind.GIVEN_BACK, RECOVERED_WITHIN_SECONDS)
            made.given_back_after_seconds.append(back)
        else:
            time.sleep(SETTLED_SECONDS)  # a part of what is measured: the next window begins quiet
    made.windows += [_window(scene, kind, start, window_seconds) for kind, start in starts]
    return made


def at_most_seconds(kinds: int, window_seconds: float) -> float:
    """How long so many windows can take, give-back and answers included."""
    return kinds * (window_seconds + MITIGATED_WITHIN_SECONDS)


def _window(scene: Scene, kind: Kind, start: float, seconds: float) -> Window:
    answers = scene.answers(start, start + seconds)
    return Window(kind, start, seconds, answers.answered, answers.failed)
