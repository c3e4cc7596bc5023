"""What a build of our images is told, and how their content names them."""

import pytest

from e2e.cluster.deploy import (
    AGENT,
    OPERATOR,
    POSTGRES,
    REDIS,
    STRESS,
    TENANT,
    Image,
    build_arguments,
    content_tag,
    pip_settings,
)
from e2e.cluster.settings import REPOSITORY, VERSIONS_FILE, parse_versions


@pytest.mark.parametrize(
    ("listed", "settings"),
    [
        ("", {}),
        ("global.index-url='https://mirror.example/simple'", {"index-url": "https://mirror.example/simple"}),
        ("global.cert='/etc/ssl/x.crt'\n:env:.find-links='/opt/wheels'", {}),  # paths of the host
        (":env:.default-timeout='180'", {"timeout": "180"}),
        (
            ":env:.index-url='https://env.example/'\nglobal.index-url='https://file.example/'",
            {"index-url": "https://env.example/"},
        ),
        ("user.extra-index-url='https://a/?b=c'", {"extra-index-url": "https://a/?b=c"}),
        ("install.trusted-host='mirror.example'", {"trusted-host": "mirror.example"}),
    ],
)
def test_pip_settings(listed: str, settings: dict[str, str]) -> None:
    assert pip_settings(listed) == settings


def test_build_arguments_carry_how_this_host_reaches_an_index() -> None:
    environ = {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "localhost", "HTTP_PROXY": "", "HOME": "/root"}
    assert build_arguments("base:1", {"index-url": "https://mirror.example/"}, environ) == {
        "BASE_IMAGE": "base:1",
        "PIP_INDEX_URL": "https://mirror.example/",
        "HTTPS_PROXY": "http://proxy:3128",
        "NO_PROXY": "localhost",
    }


def test_content_tag_is_the_start_of_the_image_id() -> None:
    assert content_tag("sha256:c7a17ec3d0e7" + "f" * 52) == "c7a17ec3d0e7"


@pytest.mark.parametrize(
    ("image", "key"),
    [
        (AGENT, "python_base_image"),
        (TENANT, "python_base_image"),
        (OPERATOR, "python_base_image"),
        (STRESS, "debian_base_image"),
        (POSTGRES, "postgres_base_image"),
        (REDIS, "redis_base_image"),
    ],
)
def test_an_image_built_by_hand_has_the_base_that_ours_have_where_a_registry_answers(
    image: Image, key: str
) -> None:
    base = getattr(parse_versions(VERSIONS_FILE.read_text()), key)
    assert f"ARG BASE_IMAGE={base}\n" in (REPOSITORY / image.dockerfile).read_text()
