"""The API server by the standard library."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import certifi
import pytest

from tenantquota.kube import plain
from tenantquota.kube.plain import ApiError, ApiServer, NodeIdentity, node_of
from tests.unit.node.apiserver import serving


def token(claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{payload}.signature"


@pytest.mark.parametrize("name", ["n", "n1", "node-12", "ip-10-0-0-1.eu"])
def test_the_token_names_the_node(name: str) -> None:
    """Names of several lengths, since base64 pads by length."""
    assert node_of(token({"kubernetes.io": {"node": {"name": name, "uid": "u-1"}}})) == NodeIdentity(
        name, "u-1"
    )


@pytest.mark.parametrize(
    "of",
    [
        "",
        "opaque",
        "a.b.c",
        "a.äöü.c",
        token({}),
        token([]),
        token({"kubernetes.io": {"pod": {"name": "p", "uid": "u"}}}),
        token({"kubernetes.io": {"node": {"name": "n1"}}}),
        token({"kubernetes.io": None}),
    ],
)
def test_a_token_that_names_no_node_says_what_to_do(of: str) -> None:
    with pytest.raises(ApiError, match="--bound-object-kind=Node"):
        node_of(of)


@pytest.mark.parametrize(
    ("host", "address"), [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_the_kubelet_says_where_it_is(host: str, address: str) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}

    assert ApiServer.address(environment) == address


def test_outside_of_a_cluster_it_must_be_told() -> None:
    with pytest.raises(ApiError, match="give --api-server"):
        ApiServer.address({})


@pytest.mark.parametrize("url", ["", "10.96.0.1:443", "ftp://x", "https://"])
def test_an_address_that_is_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="https://HOST:PORT"):
        ApiServer(url, tmp_path)


def test_the_token_is_read_anew_each_time(tmp_path: Path) -> None:
    """The kubelet replaces it when four fifths of its life are over."""
    api = ApiServer("https://10.96.0.1:443", tmp_path)
    with pytest.raises(ApiError, match="give --credentials"):
        api.token()
    for text in ("first", "second\n"):
        (tmp_path / "token").write_text(text)
        assert api.token() == text.strip()


def test_an_unusable_ca_is_an_error_and_no_crash(tmp_path: Path) -> None:
    api = ApiServer("https://127.0.0.1:1", tmp_path)
    for prepare in (lambda: None, lambda: (tmp_path / "ca.crt").write_text("no certificate")):
        prepare()
        with pytest.raises(ApiError, match="no CA certificate"):
            api.get("/x", {})


def test_a_server_of_another_ca_is_not_trusted(tmp_path: Path) -> None:
    """Not even spoken to: the token would be given away."""
    (tmp_path / "token").write_text("secret")
    shutil.copy(certifi.where(), tmp_path / "ca.crt")
    with serving() as server:
        api = ApiServer(server.url.replace("http:", "https:"), tmp_path)
        with pytest.raises(ApiError, match=r"(?i)ssl"):
            api.get("/x", {})
    assert server.requests == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message": "pods is forbidden"}', "HTTP 403: pods is forbidden"),
        (b"go away", "HTTP 403: go away"),
        (b"[1]", r"HTTP 403: \[1\]"),
        (b"\xff", "HTTP 403: \ufffd"),
        (b"x" * 10_000, f"HTTP 403: {'x' * 200}$"),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(body: bytes, words: str, tmp_path: Path) -> None:
    with serving() as server:
        server.refusals.append((403, body))
        with pytest.raises(ApiError, match=words) as refused:
            ApiServer(server.url, tmp_path).get("/api/v1/pods", {})
    assert refused.value.status == 403


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "MAX_LINE_BYTES", 100)
    with serving() as server:
        server.streams.append([b"short\n", b"x" * 1000])
        with ApiServer(server.url, tmp_path).lines("/x", {"watch": 1}) as lines:
            assert next(lines) == b"short\n"
            with pytest.raises(ApiError, match="more than 100 bytes"):
                next(lines)
