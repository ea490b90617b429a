"""A small coding session that is easy to reason about."""

from __future__ import annotations

from typing import Any

from tests.strategies.views import does, says, user

CODE = "\n".join(f"{n}→    value_{n} = compute_part({n})" for n in range(1, 120))
LOG = "\n".join(f"step {n} finished" for n in range(150))


def session() -> list[dict[str, Any]]:
    """Two requests done, a third one running; about five thousand tokens by the tests' weights."""
    return [
        user("Make the tests of the parser pass."),
        *does(1, "Grep", {"pattern": "parse_header", "path": "/app/src"}, "/app/src/parser.py:12:def parse_header(raw):\n" * 40),
        *does(2, "Read", {"file_path": "/app/src/parser.py"}, CODE),
        *does(
            3,
            "Bash",
            {"command": "pytest -q tests/test_parser.py"},
            f"Exit code 1\n{LOG}\nE   ValueError: bad header (parser.py:12)\n1 failed",
            True,
        ),
        *does(4, "Edit", {"file_path": "/app/src/parser.py", "old_string": "x = 1", "new_string": "x = HEADER_SIZE"}, "ok"),
        *does(5, "Bash", {"command": "pytest -q tests/test_parser.py"}, f"{LOG}\n12 passed in 0.41s"),
        says("The root cause was that parse_header read one byte too few. All 12 tests pass now. Shall I commit?"),
        user("yes"),
        *does(6, "Bash", {"command": "git commit -m 'Fix header size'"}, "[main 3f2a91c] Fix header size\n 1 file changed"),
        says("Committed as 3f2a91c."),
        user("Never touch the public API. Now document parse_header in docs/parser.md."),
        *does(7, "Read", {"file_path": "/app/docs/parser.md"}, LOG),
        *does(8, "Read", {"file_path": "/app/src/parser.py"}, CODE),
        *does(
            9,
            "TodoWrite",
            {"todos": [{"content": "write docs", "status": "in_progress"}, {"content": "spell check", "status": "pending"}]},
            "ok",
        ),
        *does(10, "Write", {"file_path": "/app/docs/parser.md", "content": LOG}, "written"),
        says("Now the spell check."),
        *does(11, "Bash", {"command": "aspell list < docs/parser.md"}, "parsr"),
    ]
