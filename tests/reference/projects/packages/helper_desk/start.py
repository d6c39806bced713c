"""A file of the package, named by its path: it imports its package by name."""

from helper_desk.graph import graph

__all__ = ["graph"]
