"""Settings in one place: what a policy, arguments, the environment and files say, and who said what.

The first that speaks wins: *policy*, *flags*, *environment*, *local*, *project*, *user*, then the defaults (``docs/settings.md``).
Nothing in the core reads a file or the environment: ``resolve`` does, once, at the edge, and hands on values.
"""

from __future__ import annotations

from holdfast.settings.layers import Surroundings
from holdfast.settings.model import Settings
from holdfast.settings.resolve import Origin, Resolved, Said, resolve

__all__ = ["Origin", "Resolved", "Said", "Settings", "Surroundings", "resolve"]
