"""Durable uploads from a SQL outbox: commit a row, and the file gets stored and verified."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
