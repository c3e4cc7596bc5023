"""The commands that ask the cluster, with a kubectl of the test's own."""

import json
from pathlib import Path

import pytest

from tenantquota.cli.app import main

QUOTA = {
    "metadata": {"name": "quota", "namespace": "acme", "generation": 1},
    "spec": {"container": {"limits": {"cpu": "1", "memory": "1Gi"}}},
    "status": {"observedGeneration": 1, "phase": "Normal", "pods": 3},
}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What kubectl was asked, a line each; it answers with one quota and no reports."""
    asked = tmp_path / "asked"
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        f"""#!/bin/sh
echo "$@" >> {asked}
case "$*" in
  *"quota missing"*|*"io missing"*) echo "Error: not found" >&2; exit 1 ;;
  *nodereports*) echo '{{"items": []}}' ;;
  *--all-namespaces*) echo '{json.dumps({"items": [QUOTA]})}' ;;
  *) echo '{json.dumps(QUOTA)}' ;;
esac
"""
    )
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return asked


def test_explain_tells_of_one_quota(asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "acme/quota", "--context=c"]) == 0

    assert "TenantQuota quota in acme is about tenant acme" in capsys.readouterr().out
    assert asked.read_text().splitlines() == [
        "get tenantquotas.tenantquota.io quota --namespace=acme --output=json --context=c",
        "get nodereports.tenantquota.io --output=json --context=c",
    ]


def test_top_lists_all(asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top"]) == 0

    _, row = capsys.readouterr().out.splitlines()
    assert row.split()[:2] == ["acme", "quota"]


def test_what_kubectl_refuses_is_told_in_its_words(asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "acme/missing"]) == 1

    assert capsys.readouterr().err == "Error: not found\n"


def test_without_kubectl_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["top"]) == 1

    assert "install it" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["acme", "/quota", "acme/", "a/b/c"])
def test_a_name_that_is_none(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["explain", name])

    assert "is not NAMESPACE/NAME" in capsys.readouterr().err
