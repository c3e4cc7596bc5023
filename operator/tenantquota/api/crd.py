"""Writes ``crds/`` from the models: ``python -m tenantquota.api.crd [--check] DIRECTORY``.

A CustomResourceDefinition wants a *structural* schema: no ``$ref``, no ``anyOf`` with null, no titles. That
is all this module turns pydantic's JSON Schema into; descriptions, bounds and CEL rules are the models' own.
"""

import argparse
import inspect
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from tenantquota.api.names import GROUP, VERSION
from tenantquota.api.nodereport import NodeReport
from tenantquota.api.tenantquota import TenantQuota

Schema = dict[str, Any]

_DROPPED = {"title", "$defs", "const"}


def structural(model: type[BaseModel]) -> Schema:
    """The model's structural schema (Kubernetes: "Specifying a structural schema")."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    result: Schema = _inline(schema, schema.get("$defs", {}))
    return result


def _inline(node: Any, definitions: Schema) -> Any:
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    node = _without_null(node)
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        node = target | {key: value for key, value in node.items() if key != "$ref"}
        return _inline(node, definitions)
    result = {key: _member(key, value, definitions) for key, value in node.items() if key not in _DROPPED}
    if result.get("default", ...) in (None, [], ()):
        del result["default"]
    if "description" in result:
        result["description"] = " ".join(inspect.cleandoc(result["description"]).split())
    return result


def _member(key: str, value: Any, definitions: Schema) -> Any:
    if key == "properties":
        return {name: _inline(schema, definitions) for name, schema in value.items()}
    return _inline(value, definitions) if key in {"items", "additionalProperties", "anyOf"} else value


def _without_null(node: Schema) -> Schema:
    """``X | None`` means that the field may be absent, which ``required`` says already."""
    options = node.get("anyOf", [])
    if {"type": "null"} not in options:
        return node
    (option,) = (option for option in options if option != {"type": "null"})
    return {**option, **{key: value for key, value in node.items() if key != "anyOf"}}


Column = tuple[str, str, str, str]
"""Name, type, JSONPath and description of what ``kubectl get`` prints."""


def tenantquota_crd() -> Schema:
    columns = (
        ("Tenant", "string", ".status.tenant", "The tenant whom the pods are counted to"),
        ("CPU", "string", ".spec.container.limits.cpu", "CPU limit of each container"),
        ("Memory", "string", ".spec.container.limits.memory", "Memory limit of each container"),
        ("Pods", "integer", ".status.pods", "Pods that the quota selects"),
        ("Phase", "string", ".status.phase", "Normal, Throttled or Recovering"),
        ("Age", "date", ".metadata.creationTimestamp", ""),
    )
    return _crd(TenantQuota, "Namespaced", "tq", columns, {"status": {}})


def nodereport_crd() -> Schema:
    columns = (
        ("Heartbeat", "date", ".heartbeat", "When the node's agent last looked"),
        ("Age", "date", ".metadata.creationTimestamp", ""),
    )
    return _crd(NodeReport, "Cluster", "nr", columns, {})


def _crd(
    model: type[BaseModel], scope: str, short_name: str, columns: tuple[Column, ...], subresources: Schema
) -> Schema:
    kind = model.__name__
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short_name],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": structural(model)},
                    "subresources": subresources,
                    "additionalPrinterColumns": [
                        {"name": name, "type": kind, "jsonPath": path}
                        | ({"description": text} if text else {})
                        for name, kind, path, text in columns
                    ],
                }
            ],
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes what stands in several places out in each."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def files() -> dict[str, str]:
    """File name → content of everything in ``crds/``."""
    header = "# Generated from operator/tenantquota/api; run 'make crds' after a change there.\n"
    return {
        f"{crd['spec']['group']}_{crd['spec']['names']['plural']}.yaml": header
        + yaml.dump(crd, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
        for crd in (tenantquota_crd(), nodereport_crd())
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tenantquota.api.crd", description=__doc__.splitlines()[0]
    )
    parser.add_argument("directory", type=Path, help="where the CRD manifests are")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail where a file is not current"
    )
    options = parser.parse_args(arguments)
    stale = {
        options.directory / name: content
        for name, content in files().items()
        if not (options.directory / name).is_file() or (options.directory / name).read_text() != content
    }
    if options.check:
        for path in stale:
            print(f"{path} is not what the models say: run 'make crds' and commit it", file=sys.stderr)
        return 1 if stale else 0
    options.directory.mkdir(parents=True, exist_ok=True)
    for path, content in stale.items():
        path.write_text(content)
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
