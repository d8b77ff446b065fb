"""GPU kernels: CUDA C++ that compiles without a GPU and, for tests, on a CPU.

The headers contain the kernels, written for a whole warp (``lanes.h``). ``shapes`` generates the unrolled steps of a
model's layers from the same descriptions as the CPU kernels. ``source`` assembles and compiles the source file.
"""
