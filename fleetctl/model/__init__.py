"""The nouns: frozen dataclasses that every room shares. No I/O, no clock, no randomness."""
