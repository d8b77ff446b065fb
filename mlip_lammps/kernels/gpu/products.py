"""Linear maps in the GPU plan of a model: matrix products and their adjoints."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlip_lammps.kernels.gpu.plan import GpuPlan
from mlip_lammps.kernels.lowered import LinearBlock


@dataclass(frozen=True)
class LinearProducts:
    """A linear map of irreps.

    Attributes
    ----------
    name
        Name of its weights in the plan.
    width_component
        Number of values per input component.
    width_in, width_out
        Widths of the input and output rows.
    """

    plan: GpuPlan
    name: str
    blocks: Sequence[LinearBlock]
    width_component: int
    width_in: int
    width_out: int

    def __post_init__(self) -> None:
        for k, block in enumerate(self.blocks):
            self.plan.weight(f"{self.name}_{k}", block.matrix)

    def forward(self, phase: str, source: str, target: str, is_added: bool = False) -> None:
        """Write the mapped rows of ``source`` to ``target``, or add them if ``is_added``."""
        covered = sum(block.dim * block.matrix.shape[-1] for block in self.blocks)
        if covered < self.width_out and not is_added:
            self.plan.clear(phase, target)
        for k, block in enumerate(self.blocks):
            rows, columns = block.matrix.shape[-2:]
            self.plan.product(
                phase,
                **self._weight(k, block, is_added, is_transposed=False),
                **self._given("a", source, block.in_start * self.width_component, self.width_in, rows),
                **self._given("c", target, block.out_start * columns, self.width_out, columns),
                n=columns,
                k=rows,
            )

    def adjoint(self, phase: str, upstream: str, target: str, is_added: bool = False) -> None:
        """Write the gradients of the input, or add them if ``is_added``, given those of the result."""
        covered = sum(block.dim * block.matrix.shape[-2] for block in self.blocks)
        if covered < self.width_in and not is_added:
            self.plan.clear(phase, target)
        for k, block in enumerate(self.blocks):
            rows, columns = block.matrix.shape[-2:]
            self.plan.product(
                phase,
                **self._weight(k, block, is_added, is_transposed=True),
                **self._given("a", upstream, block.out_start * columns, self.width_out, columns),
                **self._given("c", target, block.in_start * self.width_component, self.width_in, rows),
                n=rows,
                k=columns,
            )

    def _weight(self, k: int, block: LinearBlock, is_added: bool, is_transposed: bool) -> dict:
        return {
            "w": f"{self.name}_{k}",
            "rows": "local",
            "by_element": block.matrix.ndim == 3,
            "batch": block.dim,
            "beta": 1.0 if is_added else 0.0,
            "transposed": is_transposed,
        }

    @staticmethod
    def _given(operand: str, buffer: str, offset: int, row: int, batch: int) -> dict:
        return {operand: buffer, f"{operand}_offset": offset, f"{operand}_row": row, f"{operand}_batch": batch}
