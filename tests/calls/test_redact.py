"""Secrets are replaced, the same by the same, and nothing else is."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.calls import secret_forms
from holdfast.calls.redact import Redactor, redacted, redacted_text, spans_in

UNDER = Redactor(b"a key")
BODY = "aB3dE6gH9jK2mN5pQ8sT1vW4xY7zA0cD3fG6iJ9lM2oP5rS8uV"
DRAWN = {
    "anthropic-key": "sk-ant-" + f"api03-{BODY}-{BODY}AA",
    "api-key": "sk-" + f"proj-{BODY}",
    "github-token": "gh" + f"p_{BODY[:36]}",
    "aws-key-id": "AK" + "IAQ3EGR7T2KXYZ5WMN",
    "slack-token": "xox" + "b-123456789012-abcDEF456ghi",
    "google-key": "AI" + f"za{BODY[:35]}",
    "stripe-key": "sk_" + f"live_{BODY[:24]}",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "private-key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\n-----END RSA PRIVATE KEY-----",
}
BEHIND_NAMES = [
    'password = "hunter2"',
    'const dbPassword: string = "hunter2"',
    "DB_PASSWORD=hunter2",
    "password: hunter2\n",
    '{"password": "hunter2"}',
    '{\\"password\\": \\"hunter2\\"}',
    "tool --password hunter2 --force",
    "https://host/?user=me&password=hunter2&x=1",
    "<password>hunter2</password>",
    "postgres://me:hunter2@db.internal/main",
    'os.environ["DB_PASSWORD"] = "hunter2"',
    "curl -H 'Authorization: Bearer hunter2'",
    "İ password='hunter2'",
]
HARMLESS = [
    "password = get_password()",
    "password = user.password",
    "password=os.environ['DB_PASSWORD']",
    'password: "${DB_PASSWORD}"',
    'api_key = "YOUR_API_KEY"',
    "token = next(tokens)",
    "max_tokens=4096, input_tokens: 123456789012",
    'next_page_token: "aB3dE6gH9jK2mN5pQ8sT"',
    "class TokenCounter: key = 'cache_control'",
    "PWD=/home/someone/src",
    "ask-before-you-delete-anything-2024-01-01-at-all",
    "the Basic authentication scheme, or Bearer authentication",
    "git@github.com:someone/something.git and http://localhost:8080/a@b",
    "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "mask: 1, keyboard: 2, author: 'someone', tokenizer = 'o200k_base'",
    "-----BEGIN CERTIFICATE-----\nMIIEowIBAAKCAQEA7aB3dE6\n-----END CERTIFICATE-----",
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40) | st.sampled_from([*DRAWN.values(), *BEHIND_NAMES]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=12) | st.sampled_from(["password", "token", "data"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_redacting_again_changes_nothing(value: Any) -> None:
    """What was redacted stays as it is, and what is given is never changed in place."""
    before = json.dumps(value)
    once = UNDER.value(value)
    assert UNDER.value(once) == once
    assert json.dumps(value) == before


@given(st.sampled_from(sorted(DRAWN)), st.text("abc \n.,:;()<>/'\"", max_size=30), st.text("abc \n,;()<>/'\"", max_size=30))
def test_a_makers_key_is_found_wherever_it_stands(kind: str, before: str, after: str) -> None:
    """Whatever text stands around it, nothing of the key is left, and the text is."""
    before, after = f"{before} ", f" {after}"
    found = UNDER.text(f"{before}{DRAWN[kind]}{after}")
    assert re.fullmatch(rf"{re.escape(before)}\[redacted:{kind}:[0-9a-f]{{8}}\]{re.escape(after)}", found)


@pytest.mark.parametrize("text", BEHIND_NAMES)
def test_what_stands_behind_a_secrets_name_is_replaced(text: str) -> None:
    """Assignments, JSON, options, queries, XML, URLs and headers lose the value and keep all else."""
    found = UNDER.text(text)
    assert re.fullmatch(re.escape(text).replace("hunter2", r"\[redacted:(?:password|bearer):[0-9a-f]{8}\]"), found)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays_the_same_object(text: str) -> None:
    """Code that fetches a secret, placeholders, hashes and counts are not touched."""
    assert UNDER.text(text) is text


@given(st.lists(st.text("abcdefgh12345678", min_size=1, max_size=12).map("Q7".__add__), min_size=2, max_size=2))
def test_equal_secrets_stay_equal_and_others_do_not(words: list[str]) -> None:
    """Two texts are equal after redaction exactly if they were before, under one key; under another they are not the same."""
    one, other = (UNDER.text(f'password="{word}"') for word in words)
    assert (one == other) == (words[0] == words[1])
    assert one == Redactor(b"a key").text(f'password="{words[0]}"')
    assert one != Redactor(b"another").text(f'password="{words[0]}"')


def test_json_is_searched_by_its_names() -> None:
    """Values of keys and of pairs of name and value are replaced; what only the provider can read is not."""
    value: dict[str, Any] = {
        "headers": {"Authorization": "Bearer short-1"},
        "env": [{"name": "DB_PASSWORD", "value": "letmein"}, {"name": "HOME", "value": "/root"}],
        "input": {"password": "pw", "api_key": "your-api-key", "secretKey": BODY},
        "schema": {"properties": {"password": {"type": "string"}}},
        "source": {"type": "base64", "data": DRAWN["aws-key-id"]},
        "signature": DRAWN["aws-key-id"],
        "image_url": f"data:image/png;base64,{DRAWN['aws-key-id']}",
    }
    found = UNDER.value(value)
    changed = {key for key in value if found[key] is not value[key]}
    assert changed == {"headers", "env", "input"}
    assert re.fullmatch(r"Bearer \[redacted:bearer:\w{8}\]", found["headers"]["Authorization"])
    assert found["env"][0]["value"].startswith("[redacted:password:")
    assert found["env"][1] is value["env"][1]
    assert found["input"] == {"password": "pw", "api_key": "your-api-key", "secretKey": UNDER.fingerprint(BODY, "secret")}


def test_a_private_key_that_was_cut_off_is_still_replaced() -> None:
    """Of a key without its last line the lines that are there go, and what comes behind them stays."""
    cut = DRAWN["private-key"].split("\n-----END")[0] + "aB3dE6gH9jK2mN5p\n[output cut]"
    assert re.fullmatch(r"\[redacted:private-key:\w{8}\]\n\[output cut\]", UNDER.text(cut))


def test_the_key_of_the_process_is_used_where_none_is_given() -> None:
    """Within a process the functions agree with each other, and with no key that somebody could know."""
    text = 'password="hunter2"'
    assert redacted({"a": text}) == {"a": redacted_text(text)}
    assert redacted_text(text) not in (text, Redactor(b"").text(text))


HOSTILE = [
    *("key", "password=", "token: ", "eyJ", "eyJ.", "sk-", " sk-ant-a1", "://a:", "://", "-----BEGIN RSA PRIVATE KEY-----", 'password="'),
    *('token="a\\"', "bearer ", "bearer a1B2", "basic YTpi", "password    ", 'password\\\\"', "--token ", "token=1a", "a", "\\n", "AKIA"),
    *("-----BEGIN PRIVATE KEY-----" + "A" * 20 + "\n", "x_", "password:'", "İtoken="),
]


class Watched(str):
    """A text that adds up how far it is searched."""

    passed = 0

    def find(self, sub: str, start: Any = 0, end: Any = sys.maxsize) -> int:
        """As ``str.find``."""
        found = super().find(sub, start, end)
        Watched.passed += (min(end, len(self)) if found < 0 else found) - start
        return found

    def lower(self) -> Watched:
        """As ``str.lower``."""
        return Watched(super().lower())


def counted(work: Callable[[], object]) -> int:
    """How many functions are called, Python's and C's, while it works."""
    calls = 0

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_work_grows_no_faster_than_the_text(piece: str) -> None:
    """On twice the text of the worst kind at most 2.2 times the calls are made and 2.2 times the characters searched."""
    made, passed = [], []
    for size in (4_000, 8_000):
        text = Watched((piece * (size // len(piece) + 1))[:size])
        Watched.passed = 0
        made.append(counted(lambda text=text: list(spans_in(text))))  # type: ignore[misc]
        passed.append(Watched.passed)
    assert made[1] <= 2.2 * made[0] + 50
    assert passed[1] <= 2.2 * passed[0] + 5_000
    assert passed[1] <= 100 * 8_000


def repeats(pattern: Any, possessive: bool = False) -> Iterator[tuple[str, int]]:
    """Each repeat of a parsed pattern that may be tried with fewer: what it repeats, and how often at most."""
    for operation, arguments in pattern:
        name = str(operation)
        if name in ("MAX_REPEAT", "MIN_REPEAT") and not possessive:
            yield name, int(arguments[1])
        parts = arguments if isinstance(arguments, tuple | list) else (arguments,)
        for part in parts:
            for inner in part if isinstance(part, list) else [part]:
                if hasattr(inner, "data"):
                    yield from repeats(inner.data, possessive or name == "POSSESSIVE_REPEAT")


def patterns() -> Iterator[re.Pattern[str]]:
    """Every pattern that a text is matched with."""
    yield from (value for value in vars(secret_forms).values() if isinstance(value, re.Pattern))
    yield from (pattern for form in secret_forms.FORMS for pattern in (form.run, form.whole))


def test_no_pattern_tries_a_text_twice() -> None:
    """Every repeat is possessive, or goes back over at most 40 characters: none can be made to search again and again."""
    parser: Any = vars(re)["_parser"]
    found = [most for pattern in patterns() for _, most in repeats(parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE).data)]
    assert max(found) <= 40
    assert max(most for _, most in repeats(parser.parse("(a+b)*").data)) > 40


def test_four_megabytes_are_redacted_whole() -> None:
    """A text of 4 MB with a secret at its end loses that and nothing else."""
    text = "def f(x):\n    return x + 1\n" * 150_000
    assert UNDER.text(f"{text}{DRAWN['github-token']}") == text + UNDER.fingerprint(DRAWN["github-token"], "github-token")


@settings(max_examples=30)
@given(st.lists(JSON, max_size=4), st.integers(0, 4))
def test_prefixes_that_were_equal_stay_equal(items: list[Any], shared: int) -> None:
    """What two histories share they share after redaction, whoever redacts them."""
    longer = [*items[:shared], "more"]
    one, other = UNDER.value(items), Redactor(b"a key").value(longer)
    assert one[:shared] == other[: min(shared, len(items))]


def test_few_strings_of_real_conversations_are_changed(corpus: Path) -> None:
    """Of the strings of real sessions fewer than one in 500 is changed, as their secrets have been taken out."""
    files = [path for path in sorted((corpus / "claude-code").rglob("*.jsonl.gz")) if 40_000 < path.stat().st_size < 90_000][:6]
    lines = [line for path in files for line in gzip.decompress(path.read_bytes()).splitlines()]
    texts = {text for line in lines for text in strings(json.loads(line))}
    changed = [text for text in texts if UNDER.text(text) is not text]
    assert len(texts) > 1_000
    assert len(changed) * 500 < len(texts)


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value that is longer than a name."""
    if isinstance(value, str) and len(value) > 7:
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(inner)
