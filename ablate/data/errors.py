"""The one error of this package."""

from __future__ import annotations


class DataError(ValueError):
    """Data that is missing, unreadable, or not what the Recipe says it is; the message names what to change."""
