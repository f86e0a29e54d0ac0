"""The params of transaction templates: typed, validated without coercion, faults named. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from medici_py.money import shown
from medici_py.template_definition import type_text


class TemplateParams(BaseModel):
    """The params of a template; subclass it. Nothing is coerced, and what is not declared is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, revalidate_instances="always")


@dataclass(frozen=True, slots=True)
class ParamFault:
    """What is wrong with a param.

    Attributes:
        field: Its name; ``params`` where it is all of them.
        value: What was found there; None where it is missing.
        expected: What would be accepted.
        is_missing: Whether nothing was found there.
    """

    field: str
    value: object
    expected: str
    is_missing: bool = False

    def __str__(self) -> str:
        found = "nothing" if self.is_missing else shown(self.value)
        return f"{self.field}: found {found}, expected {self.expected}"


def param_fault(params: type[TemplateParams], error: Mapping[str, Any]) -> ParamFault:
    """Return one of pydantic's errors about *params* as a fault."""
    location = error["loc"]
    field = ".".join(str(part) for part in location) or "params"
    match error["type"]:
        case "missing":
            declared = params.model_fields.get(field)
            expected = "a value" if declared is None else type_text(declared.annotation)
            return ParamFault(field, None, expected, is_missing=True)
        case "extra_forbidden":
            names = ", ".join(sorted(params.model_fields)) or "none"
            expected = "nothing" if len(location) > 1 else f"no such param, only {names}"
            return ParamFault(field, error["input"], expected)
        case _:
            return ParamFault(field, error["input"], str(error["msg"]).removeprefix("Input should be "))
