"""What every part of a resource has in common."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Part(BaseModel):
    """A part of a resource: camelCase on the wire, immutable. Unknown fields are the API server's to refuse,
    so that an older operator still reads what a newer one wrote."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)
