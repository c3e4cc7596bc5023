"""The chart as helm renders it."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[3] / "charts" / "tenantquota"

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


class Helm:
    """helm without a cluster."""

    def __init__(self, home: Path) -> None:
        if not shutil.which("helm"):
            pytest.fail("these tests need helm in PATH: run 'make check', which gets it")
        # none of the user's repositories, plugins and clusters
        self._environment = {**os.environ, "HOME": str(home), "KUBECONFIG": str(home / "none")}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["helm", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=self._environment,
            timeout=60,
        )

    def template(self, values: Manifest, *options: str, chart: Path = CHART) -> str:
        """
        Raises:
            AssertionError: when helm refuses, with what it said.
        """
        sets = [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]
        done = self("template", "tenantquota", str(chart), "--namespace=tenantquota-system", *sets, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refusal(self, values: Manifest, *options: str) -> str:
        """The message with which helm refuses to render."""
        with pytest.raises(AssertionError) as refused:
            self.template(values, *options)
        return str(refused.value)


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def render(helm: Helm) -> Render:
    """``render({"image.tag": "x"}) -> manifests``; options go to ``helm template``."""

    def render(values: Manifest | None = None, *options: str, chart: Path = CHART) -> list[Manifest]:
        rendered = helm.template(values or {}, *options, chart=chart)
        return [manifest for manifest in yaml.safe_load_all(rendered) if manifest]

    return render
