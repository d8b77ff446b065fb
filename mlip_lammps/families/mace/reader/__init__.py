"""Reader of trained MACE files: it returns a spec and weights, runs no code of the file and does not import torch."""
