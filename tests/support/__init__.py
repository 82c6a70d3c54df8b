"""Real helpers for tests, of gate5 and of what is built on it."""
