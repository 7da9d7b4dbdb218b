"""Deep mutual learning (Zhang et al. 2018, arXiv 1706.00384)."""

from __future__ import annotations

from collections.abc import Mapping

from limbeck.core.teachers import Ensemble
from limbeck.engine import Length, Stage, Update
from limbeck.methods.online.peers import PEERS, seen_by
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.training_stages import taught_by
from limbeck.tasks import Task

BIBTEX = """
    @inproceedings{zhang2018deep,
        title = {Deep Mutual Learning},
        author = {Zhang, Ying and Xiang, Tao and Hospedales, Timothy M. and Lu, Huchuan},
        booktitle = {Conference on Computer Vision and Pattern Recognition},
        year = {2018},
        eprint = {1706.00384},
        archiveprefix = {arXiv},
    }
"""


@registry.register("mutual_learning", cite=BIBTEX)
def mutual_learning(
    *,
    task: Task,
    length: Length,
    temperature: float = 1.0,
    weight: float = 1.0,
    peers: str = PEERS,
    views: Mapping[str, str] | None = None,
) -> DistillationArguments:
    """Trains peers on the labels and on each other: for peer i of K

    CE(labels) + weight · 1/(K − 1) Σ_{j≠i} T² KL(p_j ‖ p_i), p_j detached.

    All peers take their step together, each after one forward pass. (The paper also updates them in turns.) Every peer is a
    result, and so is their ensemble, whose control is the ensemble of peers that learn alone.

    Args:
        temperature: T; the paper's is 1.
        weight: of what comes from the others.
        peers: the actors that learn from each other, of any architectures.
        views: the view that each peer sees, by its name: `{peers.a: default, peers.b: second}`. None: all see the same one.

    Raises:
        ValueError: a weight or temperature that is not positive; views of a single peer.
    """
    if weight <= 0 or temperature <= 0:
        raise ValueError(f"mutual_learning: weight is {weight} and temperature {temperature}; expected numbers above 0")
    own = seen_by(peers, views, "mutual_learning")
    pairs = [(one, other) for one in own for other in own if one != other] or [
        (peers, peers)
    ]  # a pattern: the mean of the others
    share = weight / max(len(own) - 1, 1)
    terms = [term for one in own for term in task.hard_terms(one)]
    for one, other in pairs:
        terms += taught_by(other, one, task=task, temperature=temperature, weight=share)
    return {
        "stages": [Stage([Update(terms, trains=peers if views is None else list(views))], length)],
        "evaluate": {"peers": peers, "ensemble": Ensemble(peers if views is None else list(views))},
    }
