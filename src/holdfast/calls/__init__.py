"""Calls through a client: what every wrapped client shares, whatever its SDK. No I/O and no SDK is imported here."""

from __future__ import annotations

from holdfast.calls.call_settings import CallSettings
from holdfast.calls.calls import Calls

__all__ = ["CallSettings", "Calls"]
