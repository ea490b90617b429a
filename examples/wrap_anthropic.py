"""An agent that reads files, on Anthropic's SDK, with Holdfast in its client; a fake provider on this machine answers.

    python examples/wrap_anthropic.py

Without ``base_url`` and ``api_key`` it asks the real one. Only the line with ``holdfast.wrap`` is new to the agent.
"""

from __future__ import annotations

from typing import Any

from anthropic import Anthropic

import holdfast
from holdfast.testing import FakeProvider, Reply, ToolCall

TOOLS: Any = [{"name": "read", "description": "Reads a file.", "input_schema": {"type": "object"}}]


def main(turns: int = 36) -> None:
    """Each turn the model wants one more file; the agent keeps all of its history and appends to it."""
    history: list[Any] = [{"role": "user", "content": "Why does the kelp let go in a storm?"}]
    with FakeProvider(Reply(calls=[ToolCall("read", {"path": f"notes/{turn}.md"})]) for turn in range(turns)) as fake:
        client = holdfast.wrap(Anthropic(base_url=fake.url, api_key="any"), strategy="micro", trigger=50_000, target=15_000)
        for turn in range(turns):
            message = client.messages.create(model="claude-sonnet-5", max_tokens=1024, messages=history, tools=TOOLS)
            used = message.usage
            print(f"turn {turn:2}: {used.cache_read_input_tokens:6,} tokens read, {used.cache_creation_input_tokens:6,} written")
            call = next(block for block in message.content if block.type == "tool_use")
            result = {"type": "tool_result", "tool_use_id": call.id, "content": f"line {turn} of the survey\n" * 200}
            history += [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
        print(holdfast.of(client).explain(), holdfast.of(client).report(), sep="\n\n")


if __name__ == "__main__":
    main()
