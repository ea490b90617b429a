"""What stands in for cleared content: what it was, how big, under which hash the original is kept, how to see it again."""

from __future__ import annotations

from holdfast.blocks import Block
from holdfast_strategies.acts import Act, is_known
from holdfast_strategies.outcome import outcome_of, status_of
from holdfast_strategies.words import clipped

_LOOK_AGAIN = {
    "read": "read it again if needed",
    "search": "search again if needed",
    "list": "list again if needed",
    "fetch": "fetch it again if needed",
}
_BY_HASH = "the content can be asked for by this hash"


def short_hash(block: Block) -> str:
    """The first twelve hex digits of a block's fingerprint, under which its original can be found."""
    return block.fingerprint.hex()[:12]


def size(block: Block) -> str:
    """How much a block holds."""
    lines = block.text.count("\n") + 1 if block.text else 0
    return f"{block.tokens:,} tokens, {lines:,} lines"


def cleared_result(block: Block, act: Act | None, last: str = "") -> str:
    """The placeholder of a tool result; ``last`` is the line it ended with, where that tells the outcome."""
    what = act.named(90) if act else f"{block.tool or 'tool'} result"
    said = f" · ended with: {clipped(last, 100)}" if last else ""
    return f"[holdfast: cleared the result of {what} · {size(block)} · hash {short_hash(block)}{said} · {_next(act)}]"


def _next(act: Act | None) -> str:
    """What is left to say: only looking is harmless to do twice; a command may push or deploy, an unknown tool may do anything."""
    if act is None or not is_known(act.tool):
        return _BY_HASH
    if act.verb in ("edit", "write") and not (outcome_of(act).failed or status_of(act.body)):
        return "the change was made"
    return _LOOK_AGAIN.get(act.verb, _BY_HASH)


def cleared_input(block: Block, act: Act | None) -> str:
    """The placeholder of a tool call's input."""
    what = act.named(90) if act else block.tool or "tool"
    return f"[holdfast: cleared the input of {what} · {size(block)} · hash {short_hash(block)} · it was carried out as its result says]"
