"""Kernels for GPUs: CUDA C++ that is compiled without a GPU, and, to test it, for a CPU.

Headers hold the kernels for a whole warp (``lanes.h``); ``shapes`` writes the unrolled steps of a model's layers for
them, from the same descriptions as the kernels of the CPU; ``source`` puts a source file together and compiles it.
"""
