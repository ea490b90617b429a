"""What to do about each cause, in one sentence."""

from __future__ import annotations

from holdfast.doctor.case import Explanation

_BY_DETAIL = {
    "system_changed": "Send the same system prompt for the whole session; put what changes into the newest message.",
    "system_changed:timestamp": (
        "Take the time out of the system prompt ({before} became {after}): state the day at most, and the exact time in the newest message."
    ),
    "system_changed:id": "Take the id out of the system prompt ({before} became {after}): put it into the newest message.",
    "system_changed:counter": "Take the counter out of the system prompt ({before} became {after}): put it into the newest message.",
    "system_changed:client_version": (
        "Two builds of the client take turns on one session ({before} and {after}): go on with the build that began it."
    ),
    "system_changed:dropped": (
        "Send the system prompt again with every request: this one went without it, and the model had no instructions."
    ),
    "system_changed:shape_only": "Keep the system prompt in the form in which it was first sent: its text is equal, its shape is not.",
    "tools_changed": "Keep the set of tools for the whole session: they stand first, so a change loses everything behind them.",
    "tools_changed:appended_or_edited": (
        "Keep tool definitions as they were first sent; where one must come later, append it, and never edit one that is live."
    ),
    "tools_reordered": "Sort the tools by name before sending: they are the same ones in another order.",
    "serialization_order": "Write keys in one fixed order: the values are equal, and only their order differs.",
    "model_changed": "Stay on one model within a conversation: caches are apart by model ({before} became {after}).",
    "tool_choice_changed": "Keep tool_choice for the whole session: a change loses the cached messages ({before} became {after}).",
    "thinking_changed": "Keep the thinking settings for the whole session ({before} became {after}).",
    "effort_changed": (
        "Keep the effort for the whole session, or change it per message where the API allows that ({before} became {after})."
    ),
    "image_replaced": (
        "Leave an image in place while its prefix is warm: take it out at the next compaction, when everything is written anew anyway."
    ),
    "messages_rewritten": "Send earlier messages again byte for byte as they were first sent.",
    "messages_rewritten:own_pruning": "Prune rarely and deeply instead of one result a turn: every cut writes everything behind it again.",
    "messages_rewritten:thinking_pruned": (
        "Leave earlier thinking where it is, or take all of it out once, at a compaction: removing it changes all that follows."
    ),
    "messages_rewritten:sliding_window": (
        "Cut once, deep, and freeze: trimming the oldest messages at each call writes the rest again each time."
    ),
    "messages_rewritten:shape_only": "Replay stored messages in the form in which they were sent: the text is equal, the shape is not.",
    "messages_rewritten:ephemeral_injection": "Put reminders behind the last mark, or keep in the history exactly what was sent.",
    "messages_rewritten:tools_arrived_late": (
        "Wait for the tool servers before the first request, or keep their references as they were sent."
    ),
    "message_inserted_before_tail": "Append new messages at the end: one before the tail changes all that follows.",
    "message_inserted_before_tail:moving_reminder": (
        "Append the reminder and leave it there, or put it behind the last mark: moving it changes what was sent."
    ),
    "message_inserted_before_tail:hoisted_system": (
        "Send such text as role user on this route: its template moves system messages to the front."
    ),
    "compaction": (
        "This compaction wrote its new prompt once, which is its price: compact rarely, and leave the tools and the system "
        "prompt as they are."
    ),
    "compaction_request_prefix": (
        "Ask for the summary as the last user message of the unchanged conversation: same system prompt, same tools, same history."
    ),
    "compaction_timing_inverted": (
        "Decide on a compaction before the next request, from the clock: a miss has just written the prefix, so it is hot now."
    ),
    "usage_semantics": "Take the input count as it is for the size of the context: cached tokens are part of it here.",
    "ttl_price_tier": "Price writes by their lifetime: {before} is the bill of the other one, {after} is what these tokens cost.",
    "breakpoint_misplaced": "Put a mark at the end of the stable part, right before what changes.",
    "breakpoint_on_volatile_block": "Move the last mark to the last message that will still be there at the next request.",
    "no_breakpoint_on_stable_prefix": (
        "Set a mark at the previous tail and at the new one: nothing marks the stable prefix, so only the head is found."
    ),
    "breakpoint_lookback_exceeded": "Set a second mark at the previous request's tail: one mark looks back 20 positions only.",
    "breakpoint_limit": "Set at most four marks, the automatic one among them: a fifth is refused.",
    "breakpoint_ttl_order": "Set marks for an hour before marks for five minutes, over tools, system and messages.",
    "account_or_scope_changed": "Keep a session on one account, key and endpoint: caches are apart by them ({before} became {after}).",
    "thinking_stripped_by_template": "Expect a rewrite at each user message on this model, and compact exactly there.",
    "write_not_yet_visible": "Nothing to fix in the client: the last write could not be read yet; wait a moment where the saving is large.",
    "head_only_collapse": "Provider-side suspected, not proven: change nothing for a single one, and never compact in response to it.",
    "pinned_head": "Record request bodies to tell an edit behind the head from a limit of the provider.",
    "best_effort_implicit": (
        "Nothing to fix in the client: this cache guarantees nothing; use an explicit one where the saving must be certain."
    ),
    "engine_bug": "Upgrade the server: it does not reuse the tokens it generated itself.",
    "server_side_unexplained": "Nothing that is recorded explains it: provider-side suspected, not proven.",
}


def fix_for(found: Explanation) -> str:
    """The sentence for an explanation: its own, or that of its detail."""
    if found.fix:
        return found.fix
    sentence = _BY_DETAIL.get(found.detail) or _BY_DETAIL.get(str(found.cause)) or _setting(found)
    before, after = (found.diff.before, found.diff.after) if found.diff else ("", "")
    return sentence.replace("{before}", _quoted(before)).replace("{after}", _quoted(after)).replace(" (nothing became nothing)", "")


def _setting(found: Explanation) -> str:
    return f"Keep {found.where or 'the settings'} for the whole session ({{before}} became {{after}})."


def _quoted(text: str) -> str:
    short = text if len(text) <= 60 else f"{text[:57]}…"
    return repr(short) if short else "nothing"
