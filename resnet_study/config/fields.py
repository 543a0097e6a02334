"""Fields of config dataclasses with rules, and the messages to users who break one."""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, cast

from resnet_study.system.errors import ConfigError


@dataclass(frozen=True)
class Rule:
    """What one field accepts.

    Attributes:
        type: bool, int, float or str; an int is accepted where a float is expected.
        optional: Whether None is accepted.
        minimum: Smallest number allowed.
        maximum: Largest number allowed, or the length of the longest text.
        exclusive: Whether `minimum` itself is excluded.
        choices: The accepted strings, if they are few.
        many: Whether the value is a sequence of such values.
        alone: Whether the value is one such value or a sequence of them.
        identity: Whether the value is part of what identifies a run.
        path: Whether a leading `~` stands for the user's home.
    """

    type: type
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    exclusive: bool = False
    choices: tuple[str, ...] = ()
    many: bool = False
    alone: bool = False
    identity: bool = True
    path: bool = False

    def describe(self) -> str:
        """The rule in words, for an error message, such as "must be a number above 0"."""
        if self.choices:
            text = "one of " + ", ".join(self.choices)
        elif self.type is str:
            text = "a text that is not empty"
            text += f", of at most {self.maximum} characters" if self.maximum else ""
        elif self.type is bool:
            text = "true or false"
        else:
            text = "an integer" if self.type is int else "a number"
            if self.minimum is not None:
                text += f" {'above' if self.exclusive else 'of at least'} {self.minimum}"
            if self.maximum is not None:
                text += f"{' and' if self.minimum is not None else ' of'} at most {self.maximum}"
        text = f"a list, each entry {text}" if self.many else text
        text += ", or a list of them" if self.alone else ""
        return f"must be {text}{', or null' if self.optional else ''}"

    def accept(self, name: str, value: object) -> object:
        """Returns the value in its canonical type, or raises `ConfigError`."""
        if value is None and self.optional:
            return None
        if self.many or (self.alone and not isinstance(value, str)):
            if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
                raise ConfigError(name, value, self.describe())
            return tuple(self._accept_one(name, entry) for entry in value)
        return self._accept_one(name, value)

    def _accept_one(self, name: str, value: object) -> object:
        canonical = float(value) if self.type is float and type(value) is int else value
        if type(canonical) is not self.type or not self._allows(canonical):
            # Described only on failure: a sweep of thousands of runs checks many values.
            allowed = self.describe()
            if self.type is str and not self.choices and isinstance(value, int | float):
                allowed += f"; put it in quotes: '{name}=\"{value}\"'"
            raise ConfigError(name, value, allowed)
        # As text: `Path` would turn `./~` into `~`, which the next check would expand.
        return os.path.expanduser(str(canonical)) if self.path else canonical  # noqa: PTH111

    def _allows(self, value: Any) -> bool:
        """Whether a value of the right type is in range."""
        if self.type is str:
            if self.choices and value not in self.choices:
                return False
            return bool(value.strip()) and len(value) <= (self.maximum or math.inf)
        if self.type is bool:
            return True
        if self.type is float and not math.isfinite(value):
            return False
        if self.minimum is not None and (
            value < self.minimum or (self.exclusive and value == self.minimum)
        ):
            return False
        return self.maximum is None or value <= self.maximum


def setting(default: Any, type_: type, **rule: Any) -> Any:
    """A dataclass field that accepts what `Rule(type_, **rule)` accepts."""
    return field(default=default, metadata={"rule": Rule(type_, **rule)})


def check(config: Any, prefix: str = "") -> None:
    """Checks each field of a frozen dataclass against its rule, in `__post_init__`.

    Args:
        config: The dataclass instance; its values are put into canonical types.
        prefix: Prefix of field names in messages, such as "model.".

    Raises:
        ConfigError: A value is not allowed.
    """
    for f in fields(config):
        value = getattr(config, f.name)
        if rule := f.metadata.get("rule"):
            object.__setattr__(config, f.name, rule.accept(prefix + f.name, value))


def reset(config: Any, *names: str) -> None:
    """Sets fields that have no effect back to their defaults, so that they make no new run id.

    Args:
        config: A frozen dataclass instance, in its `__post_init__`.
        names: The fields.
    """
    for name in names:
        object.__setattr__(config, name, getattr(type(config), name))


def nested_type(f: Field[Any]) -> type | None:
    """The dataclass that a field holds, or None for a plain value."""
    factory = f.default_factory
    return cast(type, factory) if factory is not MISSING and is_dataclass(factory) else None


def from_mapping(cls: type, values: Mapping[str, Any], prefix: str = "") -> Any:
    """Builds a dataclass, nested ones included, from a mapping such as a YAML file.

    Raises:
        ConfigError: A key is unknown or a value is not allowed.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(prefix.rstrip("."), values, "must be a group of settings")
    known = {f.name: f for f in fields(cls)}
    arguments = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{prefix}{key}", value, f"unknown; known are {', '.join(known)}")
        inner = nested_type(known[key])
        arguments[key] = from_mapping(inner, value, f"{prefix}{key}.") if inner else value
    return cls(**arguments)


def differences(config: Any, default: Any) -> dict[str, Any]:
    """The identifying fields of `config` that differ from `default`, as a nested mapping."""
    changed: dict[str, Any] = {}
    for f in fields(config):
        if "rule" in f.metadata and not f.metadata["rule"].identity:
            continue
        value, usual = getattr(config, f.name), getattr(default, f.name)
        if is_dataclass(value):
            if inner := differences(value, usual):
                changed[f.name] = inner
        elif value != usual:
            changed[f.name] = list(value) if isinstance(value, tuple) else value
    return changed


def first_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, Any, Any]:
    """The first setting in which two nested mappings differ, and its two values.

    A setting that a mapping lacks has "the default" there.
    """
    pairs = {k: (one.get(k, "the default"), other.get(k, "the default")) for k in {**one, **other}}
    key = min(key for key, (value, wanted) in pairs.items() if value != wanted)
    value, wanted = pairs[key]
    if not isinstance(value, Mapping) and not isinstance(wanted, Mapping):
        return key, value, wanted
    parts = (each if isinstance(each, Mapping) else {} for each in (value, wanted))
    inner, value, wanted = first_difference(*parts)
    return f"{key}.{inner}", value, wanted
