"""Exceptions: what went wrong, whose it is, what to do about it."""
