"""Measured claims. Each prints its figures beside those of something comparable, from one run on one machine."""
