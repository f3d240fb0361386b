"""Reading a mapping file."""

from __future__ import annotations

import hashlib
import tomllib

from pydantic import ValidationError

from connector.core.mapping.check import problems
from connector.core.mapping.file import Mapping, MappingFile
from connector.errors import ConfigurationError


def load_mapping(name: str, text: bytes) -> Mapping:
    """Read a mapping file.

    Raises:
        ConfigurationError: with every problem of the file, each naming its place.
    """
    try:
        file = MappingFile.model_validate(tomllib.loads(text.decode("utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"mapping {name}: is not TOML ({error})"]) from error
    except ValidationError as error:
        raise ConfigurationError(
            [
                f"mapping {name}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
                for problem in error.errors(include_input=False)
            ]
        ) from error
    found = [f"mapping {name}: {'.'.join(map(str, path))}: {problem}" for path, problem in problems(file)]
    if found:
        raise ConfigurationError(found)
    return Mapping(name=name, file=file, digest=hashlib.sha256(text).hexdigest()[:32])
