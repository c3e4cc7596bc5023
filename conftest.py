"""Which cluster the tests run on. At the top, since pytest takes plugins from the topmost such file alone."""

pytest_plugins = ["e2e.harness.session"]
