"""Schema fragments of the custom resources: quantities and CEL rules.

The API server checks what stands here, so a wrong manifest is refused by ``kubectl apply`` and never reaches
the operator. Every rule's message says what to change.
"""

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

MIN_CPU_LIMIT = "10m"
"""1 ms of every 100 ms: the least ``cpu.max`` the kernel takes for the kubelet's period of 100 ms."""
MAX_CPU = "1024"
MIN_MEMORY_LIMIT = "16Mi"
"""A process of an interpreted language doesn't start below; runc itself asks for 6 MiB."""
MAX_MEMORY = "64Ti"


def rule(expression: str, message: str, *, message_expression: str = "") -> dict[str, str]:
    """A CEL rule that must hold; ``message_expression`` may name values, ``message`` is its fallback."""
    dynamic = {"messageExpression": message_expression} if message_expression else {}
    return {"rule": expression, "message": message} | dynamic


def rules(*of: dict[str, str]) -> dict[str, Any]:
    return {"x-kubernetes-validations": list(of)}


def text(pattern: str, max_length: int, message: str) -> Any:
    """A text that must match. A CEL rule says so, since a schema's ``pattern`` answers with the bare regular
    expression; pydantic checks the pattern all the same."""

    def say_it_in_words(schema: dict[str, Any]) -> None:
        schema |= rules(rule(f"self.matches('{schema.pop('pattern')}')", message))

    return Field(pattern=pattern, max_length=max_length, json_schema_extra=say_it_in_words)


def at_most(left: str, right: str) -> str:
    """CEL: the quantity ``left`` is at most ``right``, or one of them is absent or no quantity at all (which
    a rule of its own says)."""
    present = " && ".join(f"has({path})" for operand in (left, right) for path in _parents(operand))
    return (
        f"!({present}) || !isQuantity(string({left})) || !isQuantity(string({right})) || "
        f"quantity(string({left})).compareTo(quantity(string({right}))) <= 0"
    )


def _parents(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[: end + 1]) for end in range(1, len(parts))]


def _quantity(form: str, least: str, least_why: str, most: str, most_why: str) -> Any:
    value = "quantity(string(self))"
    valid = "isQuantity(string(self))"
    return WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 32,
            **rules(
                rule(valid, f"is not a quantity: write {form}"),
                rule(f"!{valid} || {value}.compareTo(quantity('{least}')) >= 0", least_why),
                rule(f"!{valid} || {value}.compareTo(quantity('{most}')) <= 0", most_why),
            ),
        }
    )


def _cpu(least: str) -> Any:
    return _quantity(
        "CPU in cores or thousandths of a core, such as 2 or 500m",
        least,
        f"must be at least {least} (CPU is in cores; 500m is half a core)",
        MAX_CPU,
        f"must be at most {MAX_CPU} cores (CPU is in cores; 500m is half a core)",
    )


def _memory(least: str) -> Any:
    return _quantity(
        "memory in bytes, such as 256Mi or 2Gi",
        least,
        f"must be at least {least} (memory is in bytes: 512Mi are mebibytes, a small m means thousandths)",
        MAX_MEMORY,
        f"must be at most {MAX_MEMORY} (memory is in bytes)",
    )


CpuLimit = Annotated[str | int, _cpu(MIN_CPU_LIMIT)]
CpuRequest = Annotated[str | int, _cpu("1m")]
MemoryLimit = Annotated[str | int, _memory(MIN_MEMORY_LIMIT)]
MemoryRequest = Annotated[str | int, _memory("1Mi")]
MemoryGrowth = Annotated[str | int, _memory("256Ki")]
Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
