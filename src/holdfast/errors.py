"""Every error Holdfast raises on purpose.

    HoldfastError
    ├── InputError                what a user gave cannot be used
    │   ├── UnknownFormat         a file of no known format
    │   ├── Unreadable            a file that cannot be opened, or one bad line in strict mode
    │   ├── UnknownModel          no price is known, and none is guessed
    │   ├── UnknownStrategy       no strategy has that name
    │   ├── NotABody              nothing that lint takes for a request body
    │   ├── CannotWrap            no client that can be wrapped, or one that is not
    │   ├── BadPrices             an overriding price file that does not fit
    │   └── BadSettings           a setting that does not exist or does not fit
    ├── StrategyError             a strategy did what it must not
    │   ├── IllegalPlan           its plan breaks a rule of the wire grammar
    │   └── AskFailed             the model it asked gave no usable answer
    ├── BudgetUnreachable         nothing more may be taken away, and the prompt is still too long
    ├── RecordError               a call could not be written to the record
    └── StoreError                what left the prompt could not be kept

and one warning, ``HoldfastWarning``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class HoldfastError(Exception):
    """The root of the tree."""

    def __reduce__(self) -> tuple[Callable[..., HoldfastError], tuple[type[HoldfastError], tuple[Any, ...], dict[str, Any]]]:
        """It comes back whole from a worker process, whatever its constructor asks for."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[HoldfastError], args: tuple[Any, ...], state: dict[str, Any]) -> HoldfastError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class InputError(HoldfastError):
    """What a user gave cannot be used; the message says what would be."""


class UnknownFormat(InputError):
    """A file of no known format. ``looked_at`` says what was seen."""

    def __init__(self, path: str, looked_at: str, formats: Sequence[str]) -> None:
        self.path, self.looked_at, self.formats = path, looked_at, tuple(formats)
        super().__init__(f"{path}: no known transcript format ({looked_at}); known are {', '.join(formats)}")


class Unreadable(InputError):
    """A file that cannot be read, or, in strict mode, one line of it."""

    def __init__(self, path: str, why: str, line: int = 0) -> None:
        self.path, self.why, self.line = path, why, line
        super().__init__(f"{path}:{line}: {why}" if line else f"{path}: {why}")


class UnknownModel(InputError):
    """A model without a known price. ``near`` are names it may have been meant for."""

    def __init__(self, model: str, near: Sequence[str] = ()) -> None:
        self.model, self.near = model, tuple(near)
        hint = f"; near: {', '.join(near)}" if near else ""
        super().__init__(f"no price is known for model {model!r}{hint}; give one with --prices FILE, or another model with --model")


class UnknownStrategy(InputError):
    """A strategy nobody registered."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(f"no strategy {name!r}; known are {', '.join(known)}")


class CannotWrap(InputError):
    """No client that Holdfast knows, one that cannot be copied, or one asked about Holdfast that has none. The message says what to do."""


class BadPrices(InputError):
    """A price file that does not fit the schema; the message names the place."""


class BadSettings(InputError):
    """Settings that do not exist or do not fit: one line for each, with its place and the nearest right one."""


class StrategyError(HoldfastError):
    """A strategy did what it must not."""


class IllegalPlan(StrategyError):
    """A plan that breaks a rule. ``rule`` names it; the history stays as it was."""

    def __init__(self, strategy: str, rule: str, detail: str) -> None:
        self.strategy, self.rule, self.detail = strategy, rule, detail
        super().__init__(f"{strategy}: the plan breaks the rule {rule}: {detail}")


class AskFailed(StrategyError):
    """The model that a strategy asked gave no usable answer. ``usage`` is what that was billed, if it is known."""

    def __init__(self, why: str, usage: Any = None) -> None:
        self.usage = usage
        super().__init__(why)


class BudgetUnreachable(HoldfastError):
    """The prompt is over its limit and what is left may not be touched. ``pinned`` are block indices."""

    def __init__(self, tokens: int, limit: int, pinned: Sequence[int]) -> None:
        self.tokens, self.limit, self.pinned = tokens, limit, tuple(pinned)
        super().__init__(f"{tokens} tokens, limit {limit}; pinned blocks: {', '.join(map(str, pinned)) or 'none'}")


class StoreError(HoldfastError):
    """What left the prompt could not be kept, or what was kept could not be read."""


class HoldfastWarning(UserWarning):
    """Something works, but not all of it as its user may think."""


class RecordError(HoldfastError):
    """A call could not be written to the record; it was made all the same."""
