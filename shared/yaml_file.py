"""Small YAML files that people write: business profile, people, budgets. Every value is text as it is written.

YAML 1.1 reads `no` as false and `+14155550123` as a number; here they stay what they look like.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from shared.errors import BadInput

M = TypeVar("M", bound=BaseModel)


def read_file(path: Path, setting: str, model: type[M]) -> M:
    """The file as a `model`. Raises BadInput naming file, field and what is wrong; `setting` is what names the file."""
    try:
        content: Any = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506  # makes only texts
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        remedy = "Name a YAML file that can be read."
        raise BadInput("settings.invalid", f"{path} cannot be read: {error}.", field=setting, remedy=remedy) from error
    try:
        return model.model_validate(content or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BadInput("settings.invalid", f"{path}: {place}: {first['msg']}.", field=setting) from error
