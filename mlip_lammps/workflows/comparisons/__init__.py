"""Workflows that compare models: what each says of a structure, and the numbers that a table shows."""
