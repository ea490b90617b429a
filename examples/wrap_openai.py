"""A conversation over OpenAI's Responses, with Holdfast in the client; a fake provider on this machine answers.

    python examples/wrap_openai.py

Without ``base_url`` and ``api_key`` it asks the real one. ``chat.completions`` goes through Holdfast in the same way.
"""

from __future__ import annotations

from typing import Any

from openai import OpenAI

import holdfast
from holdfast.testing import FakeProvider


def main(turns: int = 20) -> None:
    """A user asks about one page after the other; what is kept of each is up to the strategy."""
    history: list[Any] = []
    with FakeProvider() as fake:
        client = holdfast.wrap(OpenAI(base_url=f"{fake.url}/v1", api_key="any"), strategy="truncate", trigger=40_000, target=14_000)
        for turn in range(turns):
            history.append({"role": "user", "content": f"What does page {turn} say?\n" + f"line {turn} of the survey\n" * 400})
            with holdfast.of(client).session(id="survey", pin="page 3 say"):  # page 3 stays, whatever happens
                response = client.responses.create(model="gpt-5.6-sol", input=history)
            history += [item.to_dict() for item in response.output]
            read = response.usage.input_tokens_details.cached_tokens if response.usage else 0
            last = holdfast.of(client).last
            print(f"turn {turn:2}: {read:6,} tokens read; {last.reason if last else ''}")
        print(holdfast.of(client).report())
        print("page 3 is", "still there" if "What does page 3 say" in str(fake.requests[-1].body) else "gone")


if __name__ == "__main__":
    main()
