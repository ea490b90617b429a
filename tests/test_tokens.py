"""Counting works offline, survives any text, and agrees with tiktoken's own o200k."""

from __future__ import annotations

import base64
import struct
import subprocess
import sys
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.blocks import Block, Kind, Role, make_block, opaque
from holdfast.families import FAMILIES, factor, family, keeps_thinking
from holdfast.images import UNKNOWN_IMAGE, image_tokens
from holdfast.tokens import DOCUMENT_TOKENS, Counter, encoding
from holdfast.wire.anthropic import read_block

anything = st.text(st.characters(codec=None), max_size=200)


def png(width: int, height: int) -> str:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunk + bytes(40)).decode()


def jpeg(width: int, height: int) -> str:
    comment = b"\xff\xfe" + struct.pack(">H", 402) + bytes(400)
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(30)
    return base64.b64encode(b"\xff\xd8" + comment + frame).decode()


def gif(width: int, height: int) -> str:
    return base64.b64encode(b"GIF89a" + struct.pack("<HH", width, height) + bytes(20)).decode()


def webp(width: int, height: int) -> str:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return base64.b64encode(b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + size + bytes(20)).decode()


def picture(data: str) -> dict[str, object]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


@settings(deadline=None)
@given(anything)
def test_any_text_has_a_count(text: str) -> None:
    """Lone surrogates, controls and special tokens are counted like any text."""
    assert 0 <= Counter().count(text) <= 4 * len(text)


@settings(deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=60)).map("\n".join))
def test_a_text_decodes_to_itself(text: str) -> None:
    """The ranks and the pattern are whole: encoding loses nothing."""
    assert encoding().decode(encoding().encode_ordinary(text)) == text


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("hello world", 2),
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("def f(x):\n    return x ** 2\n", 11),
        ('{"path": "/src/a.py", "line": 1234567}', 16),
        ("<|endoftext|>", 7),
    ],
)
def test_counts_are_those_of_o200k(text: str, tokens: int) -> None:
    """Counts of tiktoken 0.14's own o200k_base for the same texts."""
    assert Counter().count(text) == tokens


@pytest.mark.parametrize("text", [" " * 1_500_000, "a" * 1_500_000, "\n" * 1_500_000, "\t " * 700_000, "\ud800" * 300_000, "日" * 400_000])
def test_monstrous_texts_are_counted_in_time(text: str) -> None:
    """A megabyte of one character neither overflows the encoder's stack nor takes more than linear time."""
    start = time.perf_counter()
    assert Counter().count(text) > 0
    assert time.perf_counter() - start < 10


def test_a_long_text_counts_as_the_sum_of_its_lines() -> None:
    """Cutting a long text at line ends changes its count by less than one in ten thousand."""
    text = "".join(f"line {number}: some words of no importance\n" for number in range(20_000))
    assert Counter().count(text) == pytest.approx(len(encoding().encode_ordinary(text)), rel=1e-4)


def test_a_block_is_weighed_by_what_a_model_reads_of_it() -> None:
    """A call is its name and its input, a result its text and its pictures, hidden thinking nothing."""
    counter = Counter()
    call = read_block({"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls -la"}}, Role.ASSISTANT)
    result = read_block(
        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "a.py"}, picture(png(750, 100))]}, Role.USER
    )
    thinking = read_block({"type": "thinking", "thinking": "", "signature": "c2ln" * 100}, Role.ASSISTANT)
    tool = make_block(Kind.TOOL, Role.TOOLS, {"name": "Bash", "description": "Runs a command"}, tool="Bash")
    assert counter.raw(call) == counter.count("Bash") + counter.count('{"command":"ls -la"}')
    assert counter.raw(result) == counter.count("a.py") + 100
    assert counter.raw(thinking) == 0
    assert counter.raw(tool) == counter.count('{"name":"Bash","description":"Runs a command"}')
    assert counter.raw(opaque(Role.USER, 1234, "x")) == 1234
    assert counter.raw(read_block({"type": "document", "source": {"data": "JVBERi0="}}, Role.USER)) == DOCUMENT_TOKENS


def test_equal_blocks_are_counted_once() -> None:
    """The memo goes by fingerprint: an equal block does not reach the encoder again."""
    counter = Counter()
    first = read_block({"type": "text", "text": "hello world"}, Role.USER)
    assert counter.raw(first) == 2
    again = Block(first.kind, first.role, first.wire, "another text altogether", fingerprint=first.fingerprint)
    assert counter.raw(again) == 2


@settings(deadline=None)
@given(st.integers(1, 9000), st.integers(1, 9000), st.sampled_from([png, jpeg, gif, webp]))
def test_a_picture_costs_by_its_size(width: int, height: int, encode: object) -> None:
    """Width times height over 750, after scaling to 1,568 pixels and never more than 1,600 tokens; every format says its size."""
    tokens = image_tokens(picture(encode(width, height)))  # type: ignore[operator]
    assert 1 <= tokens <= UNKNOWN_IMAGE
    if max(width, height) <= 1568 and width * height <= 750 * UNKNOWN_IMAGE:
        assert tokens == -(-width * height // 750)


@settings(deadline=None)
@given(st.one_of(st.none(), st.text(max_size=40), st.binary(max_size=60).map(lambda raw: picture(base64.b64encode(raw).decode()))))
def test_a_broken_picture_costs_the_most(wire: object) -> None:
    """What cannot be read as a picture is counted as the largest."""
    assert image_tokens(wire) == UNKNOWN_IMAGE


def test_pictures_of_other_dialects_are_read() -> None:
    """OpenAI's data URLs and pi's bare data are pictures too."""
    url = f"data:image/png;base64,{png(300, 500)}"
    assert image_tokens({"type": "image_url", "image_url": {"url": url}}) == 200
    assert image_tokens({"type": "input_image", "image_url": url}) == 200
    assert image_tokens({"type": "image", "data": png(300, 500), "mimeType": "image/png"}) == 200


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("claude-opus-4-5-20251101", "claude"),
        ("claude-haiku-4-5", "claude"),
        ("claude-opus-4-7", "claude-4.7"),
        ("claude-fable-5", "claude-4.7"),
        ("claude-opus-7", "claude-4.7"),
        ("claude-3-7-sonnet-20250219", "claude"),
        ("gpt-5.4", "o200k"),
        ("google/gemini-3-pro-preview", "gemini"),
        ("deepseek-chat", "deepseek"),
        ("grok-4.6", "grok"),
        ("some-local-model", "o200k"),
    ],
)
def test_every_model_has_a_family(model: str, name: str) -> None:
    """The price table knows most; an unknown name goes by its maker."""
    assert family(model).name == name


def test_newer_claude_models_make_more_tokens_of_a_text() -> None:
    """The tokenizer since Opus 4.7 makes 1.0 to 1.5 times as many as the one before, which is above o200k."""
    for kind in (Kind.TEXT, Kind.TOOL_USE, Kind.TOOL_RESULT, Kind.TOOL):
        assert 1 < factor("claude-opus-4-6", kind) < factor("claude-opus-4-8", kind) < 1.5 * factor("claude-opus-4-6", kind)
        assert factor("gpt-5.5", kind) == 1
    assert all(one.factor(Kind.IMAGE) == one.factor(Kind.OPAQUE) == 1 for one in FAMILIES.values())


@pytest.mark.parametrize(("model", "keeps"), [("claude-opus-4-5", True), ("claude-sonnet-4-6", True), ("claude-fable-5", True)])
def test_newer_claude_models_keep_thinking(model: str, keeps: bool) -> None:
    """From Opus 4.5 and Sonnet 4.6 on earlier thinking stays in the prompt."""
    assert keeps_thinking(model) is keeps


@pytest.mark.parametrize("model", ["claude-sonnet-4-5-20250929", "claude-haiku-4-5", "claude-opus-4-1", "claude-sonnet-4", "gpt-5.4", "o3"])
def test_other_models_drop_thinking_at_a_users_message(model: str) -> None:
    """Older Claude models and OpenAI's keep thinking within one user turn only."""
    assert not keeps_thinking(model)


def test_importing_the_counter_imports_no_tokenizer() -> None:
    """tiktoken comes in at the first count; the ranks are read then."""
    code = (
        "import sys, holdfast.tokens as t, holdfast.calibrate\n"
        "assert 'tiktoken' not in sys.modules\n"
        "assert t.encoding.cache_info().currsize == 0\n"
        "import socket\n"
        "socket.socket = None\n"
        "assert t.Counter().count('hello world') == 2\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
