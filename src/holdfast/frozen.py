"""JSON that cannot be changed: what Holdfast keeps of what a caller gave it.

A frozen value *is* a ``dict`` or ``list`` (so ``json.dumps``, ``==`` and every SDK take it as
one, at C speed), but each way of changing it in place raises. ``copy.deepcopy`` and
``thaw`` give plain, mutable JSON back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn, TypeAlias

Json: TypeAlias = Any  # str | int | float | bool | None | list | dict, nested: too wide to be of use to a type checker


def _refuse(self: object, *args: object, **kwargs: object) -> NoReturn:
    raise TypeError(f"{type(self).__name__} cannot be changed; thaw() gives a copy that can")


class FrozenDict(dict[str, Json]):
    """A JSON object whose content cannot be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Json]:
        return {key: thaw(value) for key, value in self.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return (_frozen_dict, (dict(self),))


class FrozenList(list[Json]):
    """A JSON array whose content cannot be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Json]:
        return [thaw(value) for value in self]

    def __reduce__(self) -> tuple[Any, ...]:
        return (_frozen_list, (list(self),))


def _frozen_dict(plain: dict[str, Json]) -> FrozenDict:
    return FrozenDict(plain)


def _frozen_list(plain: list[Json]) -> FrozenList:
    return FrozenList(plain)


def freeze(value: Json) -> Json:
    """The same JSON, copied where it could have been changed; strings are shared."""
    if isinstance(value, FrozenDict | FrozenList):
        return value
    if isinstance(value, dict):
        return FrozenDict({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return FrozenList([freeze(item) for item in value])
    return value


def thaw(value: Json) -> Json:
    """A plain, mutable copy."""
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    return value


def same_form(one: Json, other: Json) -> bool:
    """Whether two JSON values that are equal would also be written as the same bytes.

    Python's ``==`` is blind to the order of keys and takes ``1``, ``1.0`` and ``True`` for one another.
    """
    if one is other:
        return True
    if isinstance(one, dict):
        return isinstance(other, dict) and [*one] == [*other] and _same_forms(one.values(), other.values())
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and _same_forms(one, other)
    if isinstance(one, float):
        return isinstance(other, float) and repr(one) == repr(other)  # 0.0 == -0.0
    return type(one) is type(other) and bool(one == other)


def _same_forms(ones: Iterable[Json], others: Iterable[Json]) -> bool:
    for one, other in zip(ones, others, strict=True):
        if one is not other and (one != other if type(one) is str else not same_form(one, other)):
            return False
    return True
