"""A conversation that grows past its trigger, with no network: what a session sends at each turn, and why.

    python examples/live_session.py
"""

from __future__ import annotations

import holdfast

MODEL = "claude-sonnet-5"


def main() -> None:
    """Thirty turns of an agent that reads files; the provider is imagined, the bodies are real."""
    session = holdfast.session(MODEL, strategy="micro", trigger=30_000, target=20_000)
    history: list[dict[str, object]] = [{"role": "user", "content": "Why does the kelp let go in a storm?"}]
    clock = 1_750_000_000.0
    for turn in range(30):
        body, trace = session.prepare({"model": MODEL, "max_tokens": 1024, "system": "You read files.", "messages": history}, clock)
        session.observe()
        sizes = f"{trace.given_tokens:6,} tokens given, {trace.sent_tokens:6,} sent, {trace.stable_tokens:6,} as before"
        print(f"turn {turn:2}: {sizes}; {trace.reason}")
        call = {"type": "tool_use", "id": f"call_{turn}", "name": "read_file", "input": {"path": f"notes/{turn}.md"}}
        result = {"type": "tool_result", "tool_use_id": f"call_{turn}", "content": f"line {turn} of the survey\n" * 150}
        history += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        clock += 20
    print(f"the caller still holds all {len(history)} messages; the last request carried {len(body['messages'])}")


if __name__ == "__main__":
    main()
