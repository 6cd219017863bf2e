"""The stores behind one small protocol; each SDK is imported by one module, nowhere else."""

from __future__ import annotations
