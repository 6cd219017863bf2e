"""Bring a host, or the root of an image, into a wanted state: plan, steps, effects.

A `Step` can say whether it is still needed; that makes a plan printable and repeatable.
"""

from __future__ import annotations
