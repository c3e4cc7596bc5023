"""Image archives: what an engine reads out of them."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from e2e.cluster import archive


def write(folder: Path, content: bytes = b"#!/bin/true\n") -> Path:
    folder.mkdir()
    program, layer, image = folder / "p", folder / "layer", folder / "image.tar"
    program.write_bytes(content)
    archive.write_layer(program, "/usr/bin/p", layer)
    archive.write_image(image, "example/p:1", [layer], ["/usr/bin/p"])
    return image


def test_the_manifest_names_a_configuration_and_layers_that_are_there_and_whole(tmp_path: Path) -> None:
    with tarfile.open(write(tmp_path / "a")) as tar:
        parts = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    (manifest,) = json.loads(parts["manifest.json"])
    assert manifest["RepoTags"] == ["example/p:1"]
    configuration = json.loads(parts[manifest["Config"]])
    assert configuration["config"]["Entrypoint"] == ["/usr/bin/p"]
    digests = [f"sha256:{hashlib.sha256(parts[layer]).hexdigest()}" for layer in manifest["Layers"]]
    assert configuration["rootfs"]["diff_ids"] == digests


def test_the_layer_holds_the_program_executable_for_all(tmp_path: Path) -> None:
    write(tmp_path / "a")
    with tarfile.open(tmp_path / "a/layer") as tar:
        (member,) = tar.getmembers()
    assert (member.name, member.mode, member.uid) == ("usr/bin/p", 0o755, 0)


def test_equal_content_gives_equal_archives(tmp_path: Path) -> None:
    one, same, other = (
        archive.digest(write(tmp_path / name, content))
        for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2"))
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("machine", "name"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64")]
)
def test_architecture(machine: str, name: str) -> None:
    assert archive.architecture(machine) == name
