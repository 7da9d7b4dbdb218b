"""The mathematics of one step: signals, actors, terms, adapters, schedules, and the criterion that combines them."""

from limbeck.core.actors import Actor, Actors, Role, Variant, average, frozen, snapshot, trained
from limbeck.core.adapters import Adapter, build_adapter
from limbeck.core.batch import Batch, as_batch
from limbeck.core.criterion import Criterion
from limbeck.core.errors import AdapterError, TapError, TermError
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.gradient_plan import GradientPlan
from limbeck.core.memory import Memory, PerSampleTable, Queue
from limbeck.core.objective import Objective
from limbeck.core.probe_set import ProbeSet
from limbeck.core.projectors import AttentionHeads, GroupLinear
from limbeck.core.recalibration import recalibrate
from limbeck.core.reference_module import module_of, needs_recalibration
from limbeck.core.references import Reference
from limbeck.core.schedules import Schedule
from limbeck.core.signals import LinearLogits, Match, Signal, TopK
from limbeck.core.source import BatchPosition, Source
from limbeck.core.terms import Term
from limbeck.core.weighers import Weigher

__all__ = [
    "Actor",
    "Actors",
    "Adapter",
    "AdapterError",
    "AttentionHeads",
    "Batch",
    "BatchPosition",
    "Criterion",
    "ForwardCache",
    "GradientPlan",
    "GroupLinear",
    "LinearLogits",
    "Match",
    "Memory",
    "Objective",
    "PerSampleTable",
    "ProbeSet",
    "Queue",
    "Reference",
    "Role",
    "Schedule",
    "Signal",
    "Source",
    "TapError",
    "Term",
    "TermError",
    "TopK",
    "Variant",
    "Weigher",
    "as_batch",
    "average",
    "build_adapter",
    "frozen",
    "module_of",
    "needs_recalibration",
    "recalibrate",
    "snapshot",
    "trained",
]
