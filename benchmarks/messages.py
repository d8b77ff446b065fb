"""Latency and bandwidth of messages between two ranks: half the time of a round trip.

    mpiexec -n 2 python -m benchmarks.messages

Prints the latency in s of 8 bytes and the bandwidth in bytes/s of messages of 256 kB, which is what an exchange of
features sends to one neighbour.
"""

import time

import numpy as np
from mpi4py import MPI

LONG_BYTES = 2**18
_TURNS = 7


def seconds_of_message(n_bytes: int, n_trips: int) -> float:
    """Return the least time of one message over several turns. Collective."""
    world, data = MPI.COMM_WORLD, np.zeros(n_bytes // 8)
    times = []
    for _ in range(_TURNS):
        world.Barrier()
        started = time.perf_counter()
        for _ in range(n_trips):
            if world.rank == 0:
                world.Send(data, 1)
                world.Recv(data, 1)
            else:
                world.Recv(data, 0)
                world.Send(data, 0)
        times.append((time.perf_counter() - started) / (2 * n_trips))
    return min(times)


if __name__ == "__main__":
    latency, long = seconds_of_message(8, 1000), seconds_of_message(LONG_BYTES, 100)
    if MPI.COMM_WORLD.rank == 0:
        print(latency, LONG_BYTES / (long - latency))
