"""What stands in for cleared content: what it was, how big, under which hash the original is kept, how to see it again."""

from __future__ import annotations

from holdfast.blocks import Block
from holdfast_strategies.acts import Act
from holdfast_strategies.words import clipped

_AGAIN = {
    "read": "read it again if needed",
    "run": "run it again if needed; the result may differ",
    "search": "search again if needed",
    "list": "list again if needed",
    "fetch": "fetch it again if needed",
}


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
    again = _AGAIN.get(act.verb, "call the tool again if needed") if act else "call the tool again if needed"
    return f"[holdfast: cleared the result of {what} · {size(block)} · hash {short_hash(block)}{said} · {again}]"


def cleared_input(block: Block, act: Act | None) -> str:
    """The placeholder of a tool call's input."""
    what = act.named(90) if act else block.tool or "tool"
    return f"[holdfast: cleared the input of {what} · {size(block)} · hash {short_hash(block)} · it was carried out as its result says]"
