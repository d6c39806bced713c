"""Measured claims. Each prints its figures beside something to compare them with, from one run on one machine."""
