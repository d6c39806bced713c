"""Meanings of three kinds: animals, colours, the rest."""

ANIMALS, COLOURS = {"cat", "dog", "horse", "pet"}, {"red", "green", "blue", "colour"}


def embed(texts: list[str]) -> list[list[float]]:
    return [[_share(text, ANIMALS), _share(text, COLOURS), 0.1] for text in texts]


def _share(text: str, words: set[str]) -> float:
    said = text.lower().split()
    return sum(word in words for word in said) / max(1, len(said))
