"""The business profile: one file (VIOX_BUSINESS) of facts that hold for the whole deployment.

name: Northwind Plumbing
time_zone: America/Chicago
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.yaml_file import read_file


class Business(BaseModel):
    """One business."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="the business", min_length=1, max_length=100)
    time_zone: str = "UTC"

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, given: str) -> str:
        if given not in available_timezones():
            raise ValueError("no such time zone; for instance Europe/Berlin")
        return given

    def now(self) -> datetime:
        """The local time."""
        return datetime.now(ZoneInfo(self.time_zone))


def read_business(path: Path | None) -> Business:
    """The profile; without a file one with nothing but defaults. Raises BadInput naming the field at fault."""
    return read_file(path, "VIOX_BUSINESS", Business) if path else Business()
