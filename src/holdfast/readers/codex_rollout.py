"""A Codex rollout while it is being read, line by line: which items a request held, and which bill is its."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from holdfast.blocks import Block, Kind, Message, Role, Settings
from holdfast.frozen import Json, freeze
from holdfast.readers.faults import Faults
from holdfast.readers.fields import Lineage, Notes, seconds, text_of
from holdfast.transcript import Turn, Unlogged
from holdfast.usage import Usage, from_openai
from holdfast.wire.openai_responses import WIRE

REPLAY_GAP = 0.25
"""A fork's copy of its parent's lines is written in one go, each within this many seconds of the line before; no call is that fast."""
SUMMARY_TOKENS = 2_000
"""Assumed output of a compaction, whose summary is encrypted and not in the file: 1,650 to 2,500 by Codex' own context estimate
after the four in the rollouts of entireio/git-sync (2026-04)."""
_NOT_SENT = ("ghost_snapshot",)
_ABORTED = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}


@dataclass(slots=True)
class Call:
    """A call whose output items are being read. Its prompt is what the log held when the first of them came."""

    stop: int
    at: float | None
    settings: Settings
    replayed: bool
    ended: float | None = None
    outputs: list[Message] = field(default_factory=list)
    followed: bool = False


@dataclass(slots=True)
class Counts:
    """What a reader tells the user about."""

    lineages: int = 1
    compactions: int = 0
    replayed: int = 0
    aborted: int = 0
    unbilled: int = 0


def _is_output(item: Message) -> bool:
    return item.role is Role.ASSISTANT


def _aborted(call: Block) -> Json:
    name = _ABORTED.get(call.wire["type"], f"{call.wire['type']}_output")
    return {"type": name, "call_id": call.call, "output": "aborted"}


@dataclass(slots=True)
class Rollout:
    """The state between two lines."""

    notes: Notes
    session: str = ""
    instructions: Json = None
    context: Mapping[str, Any] = field(default_factory=dict)
    lineage: Lineage = field(default_factory=lambda: Lineage("main"))
    opening: list[Json] = field(default_factory=list)
    unanswered: dict[str, Block] = field(default_factory=dict)
    user_turns: list[int] = field(default_factory=list)
    call: Call | None = None
    last_input: float | None = None
    totals: Json = None
    replaying: bool = False
    previous: float | None = None
    counts: Counts = field(default_factory=Counts)
    faults: Faults = field(default_factory=Faults)
    turns: list[Turn] = field(default_factory=list)
    unlogged: list[Unlogged] = field(default_factory=list)

    def line(self, number: int, record: Mapping[str, Any]) -> None:
        """One line of the file."""
        payload = record["payload"]
        now = seconds(record.get("timestamp"))
        if now is not None:
            self.replaying = self.replaying and now - (self.previous or now) <= REPLAY_GAP
            self.previous = now
        match record["type"]:
            case "session_meta":
                self.meta(payload)
            case "turn_context":
                self.context = payload
            case "compacted":
                self.compacted(payload, now)
            case "event_msg":
                self.event(number, payload)
            case "response_item" if payload.get("type") not in _NOT_SENT:
                self.item(payload, now)

    def meta(self, payload: Mapping[str, Any]) -> None:
        """The session's own head comes first; in a fork its parent's follows."""
        if self.session:
            return
        self.session = text_of(payload, "id")
        self.replaying = bool(payload.get("forked_from_id"))
        base = payload.get("base_instructions")
        self.instructions = text_of(base, "text") if isinstance(base, Mapping) else base or payload.get("instructions")

    def event(self, number: int, payload: Mapping[str, Any]) -> None:
        """Of the events only bills and rewinds matter; the others repeat the items for the screen."""
        match payload.get("type"):
            case "token_count":
                self.bill(number, payload.get("info"))
            case "user_message":
                self.user_turns.append(max(0, len(self.lineage.log) - 1))
            case "thread_rolled_back":
                self.rolled_back(payload.get("num_turns"))

    def item(self, raw: Mapping[str, Any], now: float | None) -> None:
        """One item of the conversation."""
        message = WIRE.read_message(raw)
        if _is_output(message):
            self.output(message, now)
        else:
            self.last_input = now
            if self.call is not None and message.blocks[0].kind is not Kind.TOOL_RESULT:
                self.call.followed = True
        self.keep(message, raw)

    def output(self, message: Message, now: float | None) -> None:
        """An item that the model wrote. A user's message since the last such item means another call, whose bill is not in the file."""
        if self.call is not None and self.call.followed:
            self.close(None)
        if self.call is None:
            self.answer_the_unanswered()
            self.call = Call(len(self.lineage.log), self.last_input, self.settings(), self.replaying)
        self.call.ended = now
        self.call.outputs.append(message)

    def keep(self, message: Message, raw: Json) -> None:
        """Puts an item into the history; developer messages before all others are the head's."""
        if message.role is Role.SYSTEM and not self.lineage.log:
            self.opening.append(raw)
            return
        for block in message.blocks:
            if block.kind is Kind.TOOL_USE and block.call:
                self.unanswered[block.call] = block
            elif block.kind is Kind.TOOL_RESULT and block.call:
                self.unanswered.pop(block.call, None)
        self.lineage.log.append(message)

    def answer_the_unanswered(self) -> None:
        """Interrupted tool calls get the result "aborted", as Codex sends them: a call without a result would be refused."""
        for block in list(self.unanswered.values()):
            raw = _aborted(block)
            self.keep(WIRE.read_message(raw), raw)
            self.counts.aborted += 1

    def settings(self) -> Settings:
        """The settings in force."""
        effort = self.context.get("effort")
        return WIRE.read_settings({"model": self.context.get("model"), "reasoning": {"effort": effort}})

    def bill(self, number: int, info: Json) -> None:
        """A ``token_count`` event: a bill if the totals moved and the last call had a prompt."""
        if not isinstance(info, Mapping) or info.get("total_token_usage") == self.totals:
            return
        self.totals = info.get("total_token_usage")
        last = info.get("last_token_usage")
        usage = from_openai(last) if isinstance(last, Mapping) else Usage()
        if self.replaying:
            self.counts.replayed += 1
            self.call = None
        elif usage.prompt and self.call is None:
            self.notes.skip(number, f"usage of {usage.prompt} input and {usage.output} output tokens with no output before it")
        elif usage.prompt:
            self.close(self.faults.billed(last, f"L{number}", "openai-responses"))

    def close(self, usage: Usage | None) -> None:
        """The call is over and becomes a turn, unless it is a fork's parent's."""
        call, self.call = self.call, None
        if call is None or call.replayed or not call.stop:
            return
        self.counts.unbilled += usage is None
        if not self.lineage.head:
            self.lineage.head = WIRE.read_head({"instructions": self.instructions, "input": self.opening})
        blocks = tuple(block for item in call.outputs for block in item.blocks)
        answer = Message(Role.ASSISTANT, blocks, freeze([item.wire for item in call.outputs]))
        prompt = self.lineage.prompt(call.settings, call.stop)
        self.turns.append(Turn(self.lineage.name, prompt, call.at, call.ended, answer, usage))

    def compacted(self, payload: Mapping[str, Any], now: float | None) -> None:
        """The client replaced its history; the call that wrote the summary is not in the file."""
        self.close(None)
        old = self.lineage
        if not self.replaying:
            self.counts.compactions += 1
            self.unlogged.append(Unlogged(old.name, self.last_input, "compaction: the call that wrote the summary", SUMMARY_TOKENS))
        history = payload.get("replacement_history")
        if not isinstance(history, list):  # a summary in clear text, behind the user's own messages
            own = [message.wire for message in old.log if message.is_plain_user]
            history = [*own, {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text_of(payload, "message")}]}]
        self.start([])
        self.refill(old.log, (raw for raw in history if isinstance(raw, Mapping)))
        self.last_input = now

    def rolled_back(self, turns: Json) -> None:
        """The user took back the last ``turns`` of their messages and what followed them."""
        if not isinstance(turns, int) or not 0 < turns <= len(self.user_turns):
            return
        self.close(None)
        kept, marks, opening = self.lineage.log[: self.user_turns[-turns]], self.user_turns[:-turns], self.opening
        self.start(opening)
        self.refill(kept, (message.wire for message in kept))
        self.user_turns = marks

    def start(self, opening: list[Json]) -> None:
        """A new lineage, still empty."""
        self.counts.lineages += 1
        self.lineage = Lineage(f"main-{self.counts.lineages}")
        self.opening, self.unanswered, self.user_turns = list(opening), {}, []

    def refill(self, old: Iterable[Message], items: Iterable[Mapping[str, Any]]) -> None:
        """The items as the start of the new lineage; those that the old one held are the same objects."""
        known = {tuple(block.fingerprint for block in message.blocks): message for message in old}
        for raw in items:
            message = WIRE.read_message(raw)
            self.keep(known.get(tuple(block.fingerprint for block in message.blocks), message), raw)
