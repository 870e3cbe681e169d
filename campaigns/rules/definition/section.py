"""What the sections of all files share."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What an account or a campaign may be called: it stands in addresses and in commands."""


def _slug(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("use up to 63 of a-z, 0-9, - and _, starting with a letter or digit")
    return name


Slug = Annotated[str, AfterValidator(_slug)]


class Section(BaseModel):
    """A part of a file: nothing in it changes, and no key is let through that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
