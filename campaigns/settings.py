"""What the environment says. Read by the edges only."""

from __future__ import annotations

import os
from base64 import b64decode
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from campaigns.errors import SetupError
from campaigns.rules.timing import Timing


class Settings(BaseSettings):
    """One field for each environment variable; `.env` in the working directory is read too."""

    model_config = SettingsConfigDict(env_file=".env", env_prefix="OUTBOUND_", extra="ignore", frozen=True)

    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")
    redis_url: str | None = Field(default=None, validation_alias="REDIS_URL")
    data_dir: Path = Path(".data")
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    flower_port: int = Field(default=5555, ge=0, le=65535)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    insecure_webhooks: bool = False
    lease_seconds: float | None = Field(default=None, gt=0)
    quiet_seconds: float | None = Field(default=None, gt=0)
    report_grace_seconds: float | None = Field(default=None, gt=0)
    silence_seconds: float | None = Field(default=None, gt=0)
    ask_again_seconds: float | None = Field(default=None, gt=0)
    answer_seconds: float | None = Field(default=None, gt=0)

    @property
    def timing(self) -> Timing:
        """The configured waits; only a loopback account is given others than the defaults."""
        changed = {
            "lease": self.lease_seconds,
            "quiet": self.quiet_seconds,
            "report_grace": self.report_grace_seconds,
            "silence": self.silence_seconds,
            "ask_again": self.ask_again_seconds,
            "answer": self.answer_seconds,
        }
        return Timing(**{name: timedelta(seconds=value) for name, value in changed.items() if value is not None})


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process. Raises `SetupError` that names the variable."""
    try:
        return Settings()
    except ValidationError as problems:
        first = problems.errors(include_url=False)[0]
        name = str(first["loc"][0]).upper()
        name = name if name.endswith("_URL") else f"OUTBOUND_{name}"
        raise SetupError(f"{name}: {first['msg']}") from problems


def secret(name: str) -> str:
    """The value of the environment variable `name` (or of `.env`). Raises `SetupError` where it is missing or empty."""
    value = os.environ.get(name) or _dotenv().get(name)
    if not value:
        raise SetupError(f"the environment variable {name} is not set: an account names it, so put the secret there")
    return value


def secret_bytes(name: str) -> bytes:
    """The same, where the value is base64 of the secret. Raises `SetupError` where it is not."""
    try:
        found = b64decode(secret(name), validate=True)
    except ValueError:
        raise SetupError(f"the environment variable {name} is not base64, as secret_is_base64 says it is") from None
    if not found:
        raise SetupError(f"the environment variable {name} is base64 of nothing")
    return found


def _dotenv() -> dict[str, str | None]:
    """What `.env` says now: a secret that is added for a rotation is known to processes that run already."""
    try:
        found = Path(".env").stat()
    except OSError:
        return {}
    return _read_dotenv(found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1)
def _read_dotenv(_written_at: int, _size: int) -> dict[str, str | None]:
    from dotenv import dotenv_values  # noqa: PLC0415 - used for secrets only

    return dotenv_values(".env")
