"""For every suite that runs on a cluster: which one. pytest takes plugins from the topmost such file alone."""

pytest_plugins = ["e2e.harness.session"]
