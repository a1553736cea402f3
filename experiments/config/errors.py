"""The error of a configuration: one line for who wrote it."""

import re

UNSET = re.compile(r"Environment variable '(.*?)' not found")


class ConfigError(ValueError):
    """What is wrong with a configuration, in one line that names the key, the value and what is allowed.

    Its cause is the `FieldError` with these three, where the parameters' own check refused.
    """


def one_line(error) -> str:
    """The text of an error without line breaks."""
    return " ".join(str(error).split())


def unresolved(error: BaseException, key: str | None) -> str | None:
    """What to say of an interpolation that leads nowhere; None for another error."""
    text = str(error)
    if missing := UNSET.search(text):
        return f"{key or '${oc.env:' + missing[1] + '}'}: the environment variable {missing[1]} is not set"
    missing = re.search(r"Interpolation key '(.*?)' not found", text)
    return missing and f"${{{missing[1]}}}: {missing[0]}"
