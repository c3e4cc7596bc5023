"""A pytest plugin: which of the collected tests run.

Variants of cases, and what only the long form has, are left out unless an option asks for them.
"""

from collections.abc import Collection

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--variants",
        action="store_true",
        help="also the variants of cases: shares of CPU, stress-ng, caps and churn",
    )
    parser.addoption(
        "--nightly",
        action="store_true",
        help="the long form: variants too, more tenants unless --tenants says otherwise, 15 minutes of"
        " sustained load, more rounds of churn",
    )


def is_wanted(markers: Collection[str], *, variants: bool, nightly: bool) -> bool:
    """Whether a test with such markers runs."""
    if nightly:
        return True
    return "nightly" not in markers and (variants or "variant" not in markers)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    variants, nightly = bool(config.getoption("--variants")), bool(config.getoption("--nightly"))
    wanted: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        markers = {marker.name for marker in item.iter_markers()}
        (wanted if is_wanted(markers, variants=variants, nightly=nightly) else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = wanted
