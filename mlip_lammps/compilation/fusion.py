"""Rule for the fusion of operations that torch's compiler does not check itself."""

from torch._inductor.choices import InductorChoices
from torch._inductor.scheduler import BaseSchedulerNode, Scheduler


class AcyclicFusion(InductorChoices):
    """Refuse to fuse two operations if a third must run between them.

    The compiler (torch 2.13) fuses a sum over rows that also goes into a concatenated tensor with the inputs of the
    sum. The result then lacks the sum, or the program ends with a segmentation fault.
    """

    @staticmethod
    def can_fuse(
        scheduler: Scheduler, node1: BaseSchedulerNode, node2: BaseSchedulerNode, shared_data_score: int
    ) -> bool:
        if not InductorChoices.can_fuse(scheduler, node1, node2, shared_data_score):
            return False
        fused = node1.get_operation_names() | node2.get_operation_names()
        others = (node1.ancestors | node2.ancestors) - fused
        return not any(fused & scheduler.name_to_fused_node[name].ancestors for name in others)
