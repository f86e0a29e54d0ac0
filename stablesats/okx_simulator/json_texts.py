"""JSON as it comes from clients: every number stays the text it was sent as, so none becomes a float."""

from __future__ import annotations

import json
from typing import Any


class JsonTextError(ValueError):
    """The text is no JSON, or nested too deeply to be read."""


def load_json(text: bytes | str) -> Any:
    """Parse JSON, keeping numbers as texts.

    Raises:
        JsonTextError: If it is none; ``NaN`` and the infinities are none.
    """
    try:
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise JsonTextError(str(exc)) from exc


def _no_constant(name: str) -> Any:
    raise ValueError(name)
