"""Whole agents on the real SDKs, over real sockets, against the fake provider."""
