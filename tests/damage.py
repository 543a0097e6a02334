"""Random damage to files; a module of tests that imports it is skipped without hypothesis.

`pytest -m gpu` runs where pytest alone is installed, and imports all modules of tests.
"""

import pytest

pytest.importorskip("hypothesis")

import hypothesis.strategies as st
from hypothesis import example, given

__all__ = ["damaged", "damages", "example", "given", "st"]

damages = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 10**6), st.just(0)),
    st.tuples(st.just("flip"), st.integers(0, 10**6), st.integers(1, 255)),
    st.tuples(st.just("extend"), st.integers(0, 50), st.integers(0, 255)),
)


def damaged(content: bytes, damage: tuple[str, int, int]) -> bytes:
    """Cuts the content off at a place, flips bits of a byte there, or adds bytes at the end."""
    kind, place, value = damage
    if kind == "cut":
        return content[: place % len(content)]
    if kind == "flip":
        place %= len(content)
        return content[:place] + bytes([content[place] ^ value]) + content[place + 1 :]
    return content + bytes([value]) * place
