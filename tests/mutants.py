"""A small correct sender, and the mistakes that the checker must catch: each changes the last request of a correct sequence."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.checker import Announced, Checker, Sent, Split, Violation, check_sequence
from tests import generators
from tests.generators import Body, Reply

MARKED = {"type": "ephemeral"}


def unmarked(value: Any) -> Any:
    """JSON without the caller's marks."""
    if isinstance(value, dict):
        return {key: unmarked(item) for key, item in value.items() if key != "cache_control"}
    return [unmarked(item) for item in value] if isinstance(value, list) else value


@dataclass
class Keeper:
    """A small sender that keeps its promises, written for these tests: it clears tool results when told to and marks the tail."""

    checker: Checker
    given: list[Any] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)

    def branch(self) -> Keeper:
        """One that goes on from here by itself."""
        return Keeper(self.checker.fork(), copy.deepcopy(self.given), copy.deepcopy(self.kept))

    def follow(self, body: Body) -> None:
        """Take in what is new; what was sent once keeps its form."""
        history = [unmarked(message) for message in body["messages"]]
        same = 0
        while same < min(len(history), len(self.given)) and history[same] == self.given[same]:
            same += 1
        self.given = self.given[:same] + copy.deepcopy(history[same:])
        self.kept = self.kept[:same] + copy.deepcopy(history[same:])
        last = self.kept[-1]
        if same < len(history) and isinstance(last["content"], str):
            last["content"] = [{"type": "text", "text": last["content"]}]

    def clear(self, place: int) -> int | None:
        """Clear the ``place``-th result not yet cleared; the ordinal of its block, if there is one. Bound thinking behind it leaves."""
        results = [
            (at, n)
            for at, message in enumerate(self.kept)
            for n, block in enumerate(message["content"] if isinstance(message["content"], list) else [])
            if block.get("type") == "tool_result" and block["content"] != "[cleared]"
        ]
        if not results:
            return None
        at, n = results[place % len(results)]
        self.kept[at]["content"][n]["content"] = "[cleared]"
        if self.checker.binds:
            for message in self.kept[at + 1 :]:
                strip_thinking(message)
        return count_blocks(self.kept[:at]) + n

    def send(self, body: Body, clear: int | None = None, **changes: Any) -> Sent:
        """The next request. ``clear`` announces a plan that clears one result."""
        self.follow(body)
        first = None if clear is None else self.clear(clear)
        out = {key: copy.deepcopy(value) for key, value in body.items() if key != "cache_control"} | changes
        out["system"] = unmarked(out["system"])
        out["messages"] = copy.deepcopy(self.kept)
        mark_last(out["messages"][-1])
        head = len(out["tools"]) + (len(out["system"]) if isinstance(out["system"], list) else 1)
        announced = None if first is None else Announced(head + first)
        return Sent(generators.split(out), generators.split(body), announced)


def strip_thinking(message: Body) -> None:
    """Take thinking out of a message that holds something else too."""
    if isinstance(message["content"], list):
        rest = [block for block in message["content"] if block.get("type") not in ("thinking", "redacted_thinking")]
        message["content"] = rest or message["content"]


def count_blocks(messages: Sequence[Body]) -> int:
    """Blocks of messages, a bare string being one."""
    return sum(len(message["content"]) if isinstance(message["content"], list) else 1 for message in messages)


def mark_last(message: Body) -> None:
    """A mark on the last block."""
    if isinstance(message["content"], list):
        message["content"][-1]["cache_control"] = dict(MARKED)


@dataclass
class Draft:
    """The last request of a correct sequence, as JSON that a mutant may change."""

    body: Body
    original: Body
    announced: Announced | None = None
    pinned: tuple[int, ...] = ()
    keeps_user_text: bool = False

    @property
    def messages(self) -> list[Any]:
        """The history as sent."""
        history: list[Any] = self.body["messages"]
        return history

    def announce(self, message: int = 1) -> None:
        """A plan is announced that starts with this message."""
        self.announced = Announced(3 + count_blocks(self.messages[:message]))


def correct(binds: bool = False) -> tuple[list[Sent], Draft]:
    """Five sent requests, with a clear committed at the third, and the sixth as a draft: messages 0 to 10."""
    conversation = generators.start(binds=binds)
    conversation.settings["system"] = [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Dive."}]
    keeper = Keeper(Checker("anthropic", "prefix" if binds else None))
    sent = [keeper.send(conversation.body())]
    for turn in range(1, 5):
        talk = Reply(calls=0, listed=False) if turn == 4 else Reply(calls=2, thinking="signed", server=turn == 2)
        conversation.reply(talk)
        sent.append(keeper.send(conversation.body(), clear=0 if turn == 2 else None))
    conversation.reply(Reply(calls=2, thinking="twice"))
    last = keeper.send(conversation.body())
    assert isinstance(last.body, Split)
    body = {**json.loads(last.body.head), "messages": [json.loads(raw) for raw in last.body.messages]}
    return sent, Draft(body, conversation.body())


def judge(sent: Sequence[Sent], draft: Draft, binds: bool = False) -> list[Violation]:
    """What the checker says of the sequence with the draft at its end."""
    last = Sent(generators.dumps(draft.body), generators.dumps(draft.original), draft.announced)
    binding = "prefix" if binds else None
    return check_sequence([*sent, last], binds=binding, keeps_user_text=draft.keeps_user_text, pinned=draft.pinned)  # type: ignore[arg-type]


def orphaned_call(draft: Draft) -> None:
    draft.announce(6)
    del draft.messages[6]


def orphaned_result(draft: Draft) -> None:
    draft.announce(5)
    del draft.messages[5]


def orphaned_server_result(draft: Draft) -> None:
    draft.announce(3)
    content = draft.messages[3]["content"]
    draft.messages[3]["content"] = [block for block in content if block["type"] != "server_tool_use"]


def call_used_twice(draft: Draft) -> None:
    draft.announce(1)
    draft.messages[1:1] = copy.deepcopy(draft.messages[5:7])


def edited_thinking(draft: Draft) -> None:
    draft.messages[9]["content"][0]["thinking"] += "."


def reordered_thinking(draft: Draft) -> None:
    content = draft.messages[9]["content"]
    content[0], content[1] = content[1], content[0]


def moved_thinking(draft: Draft) -> None:
    draft.announce(1)
    draft.messages[5]["content"].insert(0, draft.messages[1]["content"].pop(0))


def clear_decided_anew(draft: Draft) -> None:
    draft.messages[2]["content"][0] = copy.deepcopy(draft.original["messages"][2]["content"][0])


def clear_worded_anew(draft: Draft) -> None:
    draft.messages[2]["content"][0]["content"] = "[cleared, 5 turns ago]"


def reordered_keys(draft: Draft) -> None:
    generators.reorder(draft.messages, 3)


def number_became_bool(draft: Draft) -> None:
    assert generators.swap(draft.messages, 1)


def keys_reordered_at_a_commit(draft: Draft) -> None:
    draft.announce(1)
    generators.reorder(draft.messages, 3)


def new_keys_reordered(draft: Draft) -> None:
    generators.reorder(draft.messages, 9)


def lost_pin(draft: Draft) -> None:
    draft.announce(5)
    draft.pinned = (6,)
    del draft.messages[5:7]


def cleared_pin(draft: Draft) -> None:
    draft.announce(6)
    draft.pinned = (6,)
    draft.messages[6]["content"][0]["content"] = "[cleared]"


def changed_first_message(draft: Draft) -> None:
    draft.announce(0)
    draft.messages[0]["content"][0]["text"] += "!"


def changed_system(draft: Draft) -> None:
    draft.body["system"][1]["text"] += " It is Monday."


def mark_on_thinking(draft: Draft) -> None:
    draft.messages[9]["content"][0]["cache_control"] = MARKED


def five_marks(draft: Draft) -> None:
    for at in (1, 3, 5, 6):
        mark_last(draft.messages[at])


def four_marks_and_the_automatic_one(draft: Draft) -> None:
    five_marks(draft)
    del draft.messages[-1]["content"][-1]["cache_control"]
    draft.body["cache_control"] = MARKED


def hour_behind_five_minutes(draft: Draft) -> None:
    draft.body["system"][1]["cache_control"] = MARKED
    draft.messages[-1]["content"][-1]["cache_control"] = {"type": "ephemeral", "ttl": "1h"}


def dropped_user_message(draft: Draft) -> None:
    draft.announce(8)
    draft.keeps_user_text = True
    del draft.messages[8]


def dropped_in_silence(draft: Draft) -> None:
    del draft.messages[5:7]


def empty_note(draft: Draft) -> None:
    draft.announce(1)
    draft.messages.insert(1, {"role": "user", "content": ""})


def empty_list(draft: Draft) -> None:
    draft.announce(1)
    draft.messages.insert(1, {"role": "user", "content": []})


def changed_tool_id(draft: Draft) -> None:
    draft.announce(9)
    draft.messages[9]["content"][-1]["id"] = draft.messages[10]["content"][-1]["tool_use_id"] = "toolu_other"


def string_became_list(draft: Draft) -> None:
    content = draft.messages[7]["content"]
    assert isinstance(content, str)
    draft.messages[7]["content"] = [{"type": "text", "text": content}]


def list_became_string(draft: Draft) -> None:
    draft.announce(8)
    draft.messages[8]["content"] = draft.messages[8]["content"][0]["text"]


def early_edit(draft: Draft) -> None:
    draft.announce(6)
    draft.messages[4]["content"][0]["content"] = "[cleared]"


def early_block(draft: Draft) -> None:
    draft.announced = Announced(3 + count_blocks(draft.messages[:6]) + 1)
    draft.messages[6]["content"][0]["content"] = "[cleared]"


def edited_answer(draft: Draft) -> None:
    draft.announce(7)
    draft.messages[7]["content"] = "All is well."


def words_in_the_models_mouth(draft: Draft) -> None:
    draft.announce(1)
    draft.messages.insert(1, {"role": "assistant", "content": "I have read everything."})


def swapped_rounds(draft: Draft) -> None:
    draft.announce(1)
    draft.messages[3:7] = draft.messages[5:7] + draft.messages[3:5]


def new_message_cleared(draft: Draft) -> None:
    draft.messages[10]["content"][0]["content"] = "[cleared]"


def reminder_added(draft: Draft) -> None:
    draft.messages.append({"role": "user", "content": "Remember the rock."})


def other_model(draft: Draft) -> None:
    draft.body["model"] = "claude-haiku-5-5"


def input_became_text(draft: Draft) -> None:
    draft.announce(5)
    draft.messages[5]["content"][-1]["input"] = "[cleared]"


def starts_with_the_model(draft: Draft) -> None:
    draft.announce(0)
    draft.messages.insert(0, draft.messages[7])
    del draft.messages[8]


def repaired_illegal_request(draft: Draft) -> None:
    del draft.original["messages"][10]["content"][0]


def new_string_became_list(draft: Draft) -> None:
    del draft.messages[-1]["content"][-1]["cache_control"]
    for body in (draft.body, draft.original):
        body["messages"] += [{"role": "assistant", "content": "Look."}, {"role": "user", "content": "Where?"}]
    draft.messages[-1]["content"] = [{"type": "text", "text": "Where?"}]


MUTANTS: list[tuple[Callable[[Draft], None], str]] = [
    (orphaned_call, "pair"),
    (orphaned_result, "orphan"),
    (edited_thinking, "thinking"),
    (reordered_thinking, "thinking"),
    (moved_thinking, "thinking"),
    (clear_decided_anew, "break"),
    (clear_worded_anew, "break"),
    (reordered_keys, "break"),
    (number_became_bool, "break"),
    (string_became_list, "break"),
    (dropped_in_silence, "break"),
    (list_became_string, "form"),
    (keys_reordered_at_a_commit, "form"),
    (new_keys_reordered, "form"),
    (new_string_became_list, "form"),
    (lost_pin, "pinned"),
    (cleared_pin, "pinned"),
    (changed_first_message, "pinned"),
    (changed_system, "pinned"),
    (mark_on_thinking, "mark-place"),
    (five_marks, "marks"),
    (four_marks_and_the_automatic_one, "marks"),
    (hour_behind_five_minutes, "mark-order"),
    (dropped_user_message, "user-text"),
    (empty_note, "empty"),
    (empty_list, "empty"),
    (changed_tool_id, "tool-id"),
    (early_edit, "early-break"),
    (early_block, "early-break"),
    (edited_answer, "edited"),
    (words_in_the_models_mouth, "edited"),
    (swapped_rounds, "edited"),
    (new_message_cleared, "touched"),
    (reminder_added, "touched"),
    (other_model, "settings"),
    (input_became_text, "input-type"),
    (repaired_illegal_request, "illegal-changed"),
]
