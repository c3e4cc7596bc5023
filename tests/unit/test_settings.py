"""The command line."""

from pathlib import Path

import pytest

from tenantquota.api.names import SYSTEM_NAMESPACES
from tenantquota.settings import ControllerSettings, NodeSettings, WeightsSettings, parse


def test_defaults() -> None:
    assert parse(["controller"]) == ControllerSettings()
    assert parse(["node"]) == NodeSettings()
    assert parse(["node"]) != parse(["controller"])


def test_every_option_of_the_node_agent() -> None:
    assert parse(
        [
            "node",
            "--log-level=debug",
            "--report-seconds=60",
            "--cgroup-root=/a",
            "--proc-root=/b",
            "--system-namespaces=c,d",
            "--http-port=9000",
            "--weights-socket=/w",
            "--api-server=https://h:1",
            "--credentials=/c",
        ]
    ) == NodeSettings(
        "debug",
        60,
        Path("/a"),
        Path("/b"),
        SYSTEM_NAMESPACES | {"c", "d"},
        9000,
        "https://h:1",
        Path("/w"),
        Path("/c"),
    )


def test_every_option_of_the_writer_of_weights() -> None:
    assert parse(
        ["weights", "--log-level=debug", "--cgroup-root=/a", "--socket=/w", "--agent-user=1"]
    ) == WeightsSettings("debug", Path("/a"), Path("/w"), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["nod"], "invalid choice: 'nod' (choose from"),
        (["node", "--report-seconds=4"], "'4' is not between 5 and 3600 seconds"),
        (["node", "--report-seconds=3601"], "'3601' is not between 5 and 3600 seconds"),
        (["node", "--report-seconds=7.5"], "'7.5' is not a whole number above 0"),
        (["node", "--report-seconds=soon"], "'soon' is not a number above 0"),
        (["node", "--http-port=0"], "'0' is not a number above 0"),
        (["node", "--log-level=loud"], "invalid choice: 'loud'"),
        (["node", "--resync-seconds=1"], "unrecognized arguments: --resync-seconds=1"),
        (["controller", "--concurrency=x"], "'x' is not a number above 0"),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(arguments)

    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
