"""An independent judge of what Holdfast sends: legality, and breaks that nobody planned.

It sees consecutive serialised request bodies and imports nothing of the code that made them, so that a mistake
there cannot hide here.
"""

from __future__ import annotations

from holdfast.checker.reading import Reader
from holdfast.checker.sequence import Checker, check_body, check_sequence
from holdfast.checker.values import Announced, Dialect, Sent, Serialised, Split, Violation

__all__ = ["Announced", "Checker", "Dialect", "Reader", "Sent", "Serialised", "Split", "Violation", "check_body", "check_sequence"]
