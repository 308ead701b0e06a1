"""Checks of what a user gives, each with a sentence that says what is allowed."""

import math
from numbers import Integral, Real

from musicgen_ldm.errors import ConfigError, RequestError


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Refuse what is no finite number from `low` to `high`.

    Raises:
        RequestError: With the name, the value and the range.
    """
    if not (_is_number(value) and low <= value <= high):  # type: ignore[operator]
        raise RequestError(f"{name} is {value}; give a number from {low:g} to {high:g}")


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Refuse what is no whole number from `low` to `high`.

    Raises:
        RequestError: With the name, the value and the range.
    """
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (is_whole and low <= value <= high):  # type: ignore[operator]
        raise RequestError(f"{name} is {value}; give a whole number from {low} to {high}")


def check_text(name: str, value: object, longest: int) -> None:
    """Refuse what is no text of at most `longest` characters.

    Raises:
        RequestError: With the name and what is wrong with the value.
    """
    if not isinstance(value, str):
        raise RequestError(f"the {name} is {value!r}; give a text")
    if len(value) > longest:
        raise RequestError(
            f"the {name} has {len(value)} characters; at most {longest} are read, shorten it"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RequestError(f"the {name} holds bytes that are no text; write it in UTF-8") from error


def check_least(config: object, section: str = "", **least: float) -> None:
    """Refuse a configuration with a number below its minimum; None is no number.

    Args:
        config: Holds the fields.
        section: Where in the file they stand, e.g. "run."
        least: Minimum of each field.

    Raises:
        ConfigError: With the key, the value and the minimum.
    """
    for name, minimum in least.items():
        value = getattr(config, name)
        if value is not None and value < minimum:
            raise ConfigError(f"{section}{name}={value}: must be at least {minimum}")


def is_rising_pair(value: object, highest: float = math.inf) -> bool:
    """Whether `value` is a pair of finite numbers, 0 <= first < second <= `highest`."""
    if not (isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value))):
        return False
    first, second = value
    return 0 <= first < second <= highest
