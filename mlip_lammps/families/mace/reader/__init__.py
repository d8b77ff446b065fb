"""Reads trained MACE files into a spec and a table of weights, without running what they hold; no torch here."""
