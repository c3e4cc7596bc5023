"""The CRD that the models write: a structural schema, every field described, current in the repository."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenantquota.api.crd import files, main, nodereport_crd, structural, tenantquota_crd
from tenantquota.api.tenantquota import TenantQuota, TenantQuotaSpec

REPOSITORY = Path(__file__).parents[3]
FORBIDDEN = {"$ref", "$defs", "title", "allOf", "oneOf", "not", "definitions", "patternProperties", "const"}
"""What a structural schema must not hold, or what only makes it longer."""

Schema = dict[str, Any]


def nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every schema in the schema, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


NODES = dict(nodes(structural(TenantQuota), "tenantquota"))
FIELDS = {path: node for path, node in NODES.items() if not path.endswith(("[]", "{}"))}


@pytest.mark.parametrize("path", NODES)
def test_every_node_is_structural(path: str) -> None:
    node = NODES[path]

    assert not FORBIDDEN & node.keys()
    assert node.get("default", ...) is not None, "a default of null says nothing"
    if node.get("x-kubernetes-int-or-string"):
        assert node["anyOf"] == [{"type": "integer"}, {"type": "string"}]
        assert "type" not in node
    else:
        assert node["type"] in {"object", "array", "string", "integer", "boolean"}
        assert "anyOf" not in node
    assert not ("properties" in node and "additionalProperties" in node)


@pytest.mark.parametrize("path", NODES)
def test_every_rule_says_what_is_wrong(path: str) -> None:
    for rule in NODES[path].get("x-kubernetes-validations", []):
        assert len(rule["message"].split()) >= 4, rule
        assert "\n" not in rule["message"]


@pytest.mark.parametrize("path", FIELDS)
def test_every_field_is_described(path: str) -> None:
    description = FIELDS[path]["description"]

    assert len(description.split()) >= 3
    assert description.endswith((".", ")")), "a description is made of sentences"
    assert "\n" not in description


@pytest.mark.parametrize("path", [path for path in NODES if path.startswith("tenantquota.spec")])
def test_everything_a_user_writes_is_bounded(path: str) -> None:
    """The API server refuses CEL rules whose worst case it can't bound, and giant objects help nobody."""
    node = NODES[path]

    if node.get("type") == "array":
        assert "maxItems" in node
    if (node.get("type") == "string" and "enum" not in node) or node.get("x-kubernetes-int-or-string"):
        assert "maxLength" in node
    if node.get("type") == "integer":
        assert {"minimum", "maximum"} <= node.keys()
    if "additionalProperties" in node:
        assert "maxProperties" in node


def test_crd_is_what_users_and_controllers_build_on() -> None:
    crd = tenantquota_crd()
    (version,) = crd["spec"]["versions"]

    assert crd["metadata"]["name"] == "tenantquotas.tenantquota.io"
    assert crd["spec"]["scope"] == "Namespaced"
    assert crd["spec"]["names"]["shortNames"] == ["tq"]
    assert version["name"] == "v1alpha1"
    assert version["served"]
    assert version["storage"]
    assert version["subresources"] == {"status": {}}
    assert NODES["tenantquota.spec"]["required"] == ["container"]
    assert NODES["tenantquota.spec.container.limits"]["required"] == ["cpu", "memory"]
    assert NODES["tenantquota.status.conditions"]["x-kubernetes-list-map-keys"] == ["type"]


def test_printer_columns_point_to_fields() -> None:
    (version,) = tenantquota_crd()["spec"]["versions"]

    for column in version["additionalPrinterColumns"]:
        path = column["jsonPath"]
        assert path.startswith(".metadata.") or f"tenantquota{path}" in FIELDS, column


def test_names_on_the_wire_are_camel_case() -> None:
    assert "tenantquota.spec.selector.matchExpressions" in FIELDS
    assert not [path for path in FIELDS if "_" in path]


def test_repository_is_current() -> None:
    assert main(["--check", str(REPOSITORY / "crds")]) == 0


def test_write_then_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "crds"

    assert main([str(directory)]) == 0
    assert {path.name: path.read_text() for path in directory.iterdir()} == files()
    assert main(["--check", str(directory)]) == 0
    assert [yaml.safe_load(content) for content in files().values()] == [tenantquota_crd(), nodereport_crd()]
    capsys.readouterr()
    assert main([str(directory)]) == 0
    assert capsys.readouterr().out == "", "what is current isn't written again"


@pytest.mark.parametrize("damage", ["edited", "missing"])
def test_check_fails_on_a_stale_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    main([str(tmp_path)])
    path = tmp_path / "tenantquota.io_tenantquotas.yaml"
    if damage == "edited":
        path.write_text(path.read_text().replace("maximum: 10000", "maximum: 20000", 1))
    else:
        path.unlink()
    before = path.read_text() if path.exists() else None

    assert main(["--check", str(tmp_path)]) == 1

    assert f"{path} is not what the models say" in capsys.readouterr().err
    assert (path.read_text() if path.exists() else None) == before, "--check writes nothing"


def test_models_read_what_the_schema_allows() -> None:
    spec = TenantQuotaSpec.model_validate(
        {
            "selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]},
            "container": {"limits": {"cpu": 2, "memory": "1Gi"}, "requests": {"cpu": "50m"}},
            "field-of-a-later-version": True,
        }
    )

    assert spec.container.limits.cpu == 2
    assert spec.container.requests is not None
    assert spec.container.requests.memory is None
    assert spec.selector is not None
    assert spec.selector.match_expressions[0].values == ("a",)
    assert spec.weight == NODES["tenantquota.spec.weight"]["default"] == 100
    assert spec.enforcement == NODES["tenantquota.spec.enforcement"]["default"] == "Enforce"
