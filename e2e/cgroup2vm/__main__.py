"""The command line; see the package."""

import os
import sys

from e2e.cgroup2vm import image, machine
from e2e.cluster.console import Console, StepError, tail
from e2e.cluster.settings import SettingError, read_settings

TESTS = "tests/kernel"
PYTEST = ["python3", "-m", "pytest", "-p", "no:cacheprovider", "--color=no"]


def main(arguments: list[str]) -> int:
    """Runs pytest in the machine; returns its exit code."""
    try:
        settings = read_settings(os.environ)
        booted = image.ensure(settings, Console(settings.logs))
        paths = [] if any(not argument.startswith("-") for argument in arguments) else [TESTS]
        return machine.run(booted, settings.repository, [*PYTEST, *arguments, *paths])
    except SettingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except StepError as error:
        if error.log is not None:
            print(f"\n--- the end of {error.log}\n{tail(error.log)}\n---", file=sys.stderr)
        print(f"\nerror: {error}\n{error.hint}".rstrip(), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
