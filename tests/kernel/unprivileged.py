"""Samples the container of a pod once, as whoever runs this, and prints what it found. For test_lifecycle."""

import sys

from e2e.harness.handmade import Container
from tests.kernel.following import Followed

if __name__ == "__main__":
    with Followed() as followed:
        followed.own(Container("", sys.argv[1], ()))
        followed.tick()
        (found,) = followed.sampler.containers
        limits, counted, delay = found.limits, found.processes.latest, found.run_delays.latest
        assert limits is not None
        assert counted is not None
        print(limits.cpu_milli, limits.memory_limit_bytes, *counted[1:], delay is not None)
        print(followed.errors.counts)
