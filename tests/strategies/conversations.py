"""Generated conversations: text, thinking, parallel calls of many tools, images, unknown blocks, injected reminders."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

PATHS = st.sampled_from(["/app/src/main.py", "/app/src/cache.py", "pkg/strategy_test.go", "README.md"])
LINES = st.sampled_from(
    [
        "def restore(session_id: str) -> None:",
        "    return compute_prefix(session_id, 42)",
        "FAIL: test_prefix (main.py:17)",
        "error: cannot find name `shadow_branch`",
        "ok 12 passed in 0.31s",
        "",
        "Exit code 1",
        "a" * 90,
        "the root cause is that the cache is cold",
    ]
)
BODIES = st.builds(lambda lines, times: "\n".join(lines * times), st.lists(LINES, min_size=1, max_size=6), st.integers(1, 60))
WORDS = st.sampled_from(
    [
        "please fix the failing test",
        "never touch the public API",
        "yes",
        "commit and push",
        "<system-reminder>be brief</system-reminder>",
        "[Request interrupted by user]",
        "why is /app/src/main.py slow? " * 12,
        "<command-name>/compact</command-name>",
        "This session is being continued from a previous conversation that ran out of context.",
        "   x",
    ]
)
SAYINGS = st.sampled_from(
    [
        "Let me look.",
        "The root cause is `compute_prefix` in /app/src/cache.py: it hashes twice.",
        "Done. All 12 tests pass.\n- changed main.py",
        "I decided to keep the lock.",
    ]
)
TOOLS = st.one_of(
    st.builds(lambda path: ("Read", {"file_path": path}), PATHS),
    st.builds(lambda path, body: ("Write", {"file_path": path, "content": body}), PATHS, BODIES),
    st.builds(lambda path, line: ("Edit", {"file_path": path, "old_string": line, "new_string": line + "!"}), PATHS, LINES),
    st.just(("Bash", {"command": "pytest -q tests/"})),
    st.just(("Bash", {"command": "git commit -m 'x'"})),
    st.just(("Grep", {"pattern": "compute_prefix", "path": "/app"})),
    st.just(("TodoWrite", {"todos": [{"content": "fix it", "status": "in_progress"}]})),
    st.just(("AskUserQuestion", {"questions": []})),
    st.just(("mcp__x__strange", {"n": 3})),
    st.just(("exec_command", {"cmd": "sed -n 1,20p a/b.c"})),
)


@st.composite
def _work(draw: st.DrawFn, number: int) -> list[dict[str, Any]]:
    """One assistant message with one or more calls, and the message with their results."""
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    if draw(st.booleans()):
        calls.append({"type": "thinking", "thinking": draw(SAYINGS), "signature": "s"})
    if draw(st.booleans()):
        calls.append({"type": "text", "text": draw(SAYINGS)})
    for ordinal in range(draw(st.integers(1, 3))):
        name, inputs = draw(TOOLS)
        call = f"t{number}_{ordinal}"
        calls.append({"type": "tool_use", "id": call, "name": name, "input": inputs})
        content: Any = draw(BODIES)
        if draw(st.integers(0, 9)) == 0:
            content = [
                {"type": "text", "text": content},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
            ]
        results.append({"type": "tool_result", "tool_use_id": call, "content": content, "is_error": draw(st.booleans())})
    if draw(st.integers(0, 5)) == 0:
        results.append({"type": "text", "text": draw(WORDS)})
    return [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]


@st.composite
def _talk(draw: st.DrawFn) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [{"type": "text", "text": draw(SAYINGS)}]
    if draw(st.integers(0, 7)) == 0:
        said.append({"type": "novel_block", "data": draw(BODIES)})
    heard: Any = draw(st.one_of(WORDS, BODIES))
    return [{"role": "assistant", "content": said}, {"role": "user", "content": heard or "go on"}]


@st.composite
def _observed(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A round of an agent that writes its commands into fenced text."""
    body = draw(BODIES)
    return [
        {"role": "assistant", "content": "THOUGHT: look\n\n```bash\ncat pkg/strategy_test.go\n```"},
        {"role": "user", "content": f"<returncode>0</returncode>\n<output>\n{body}\n</output>"},
    ]


@st.composite
def conversations(draw: st.DrawFn, most: int = 14) -> list[dict[str, Any]]:
    """Legal conversations that end with the user's turn."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": draw(WORDS)}]
    for number in range(draw(st.integers(1, most))):
        kind = draw(st.integers(0, 9))
        messages += draw(_work(number) if kind < 6 else _talk() if kind < 8 else _observed())
    return messages
