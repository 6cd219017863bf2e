"""Where settings come from: credentials directory, `*_FILE`, environment, TOML file, default.

`from outhaul import config; config.USE_OSS_STORAGE` answers for the current environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from outhaul.errors import ConfigError
from outhaul.settings import Settings, masked, setting_names, without_password

#: Names a TOML file whose keys are the environment's names.
FILE_VARIABLE = "OUTHAUL_CONFIG_FILE"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each name where its value came from."""

    settings: Settings
    sources: Mapping[str, str]

    def effective(self) -> list[tuple[str, Any, str]]:
        """Name, value fit for a screen, and source of every setting."""
        shown = {name: masked(getattr(self.settings, of)) for name, of in setting_names().items()}
        # As in force, not as written: on by itself once all five OSS settings are there.
        shown["USE_OSS_STORAGE"] = self.settings.use_oss
        url = self.settings.database_url.get_secret_value()
        shown["OUTHAUL_DATABASE_URL"] = without_password(url)
        return [(name, value, self.sources.get(name, "default")) for name, value in shown.items()]


def load(environment: Mapping[str, str] | None = None) -> Loaded:
    """Read and validate the configuration.

    Args:
        environment: instead of the process's own.

    Raises:
        ConfigError: what is wrong, setting by setting, in one message.
    """
    env = os.environ if environment is None else environment
    file = _from_file(env)
    found = {name: _find(name, env, file) for name in setting_names()}
    values = {name: value for name, (value, _) in found.items() if value is not None}
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(detail) for detail in error.errors())) from None
    return Loaded(settings, {name: source for name, (_, source) in found.items() if source})


def _find(name: str, env: Mapping[str, str], file: Mapping[str, Any]) -> tuple[Any, str]:
    """A setting's value and where it came from; an empty variable counts as unset."""
    if directory := env.get("CREDENTIALS_DIRECTORY"):
        path = Path(directory) / name
        if path.is_file():
            return _read(path, name), "credentials directory"
    if path_text := env.get(f"{name}_FILE"):
        return _read(Path(path_text), f"{name}_FILE"), f"{name}_FILE"
    if env.get(name):
        return env[name], "environment"
    if name in file:
        return file[name], str(env[FILE_VARIABLE])
    return None, ""


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: cannot read {path}: {error}") from error


def _from_file(env: Mapping[str, str]) -> Mapping[str, Any]:
    path = env.get(FILE_VARIABLE)
    if not path:
        return {}
    try:
        with Path(path).open("rb") as file:
            values = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{FILE_VARIABLE}: cannot read {path}: {error}") from error
    if unknown := sorted(set(values) - set(setting_names())):
        raise ConfigError(f"{path} holds unknown settings: {', '.join(unknown)}")
    return values


def _explain(detail: ErrorDetails) -> str:
    """Name the setting and the trouble; pydantic's own text could quote a secret."""
    where = str(detail["loc"][0]) if detail["loc"] else "configuration"
    return f"{where}: {detail['msg'].removeprefix('Value error, ')}"


def reveal(secret: SecretStr | None) -> str:
    """The text of a secret that must be there."""
    if secret is None:
        raise ConfigError("a credential is missing")
    return secret.get_secret_value()


def __getattr__(name: str) -> bool:
    if name == "USE_OSS_STORAGE":
        return load().settings.use_oss
    raise AttributeError(name)
