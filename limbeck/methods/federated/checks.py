"""Which replies of clients are left out: broken ones, updates out of proportion, models that know nothing or contradict all."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

State = Mapping[str, Tensor]


def reply_problem(arrays: State, expected: State) -> str | None:
    """What is wrong with the arrays of a reply; None: nothing.

    Args:
        expected: arrays of the same names, shapes and types.
    """
    if missing := sorted(set(expected) - set(arrays)):
        return f"array {missing[0]!r} is missing"
    if unknown := sorted(set(arrays) - set(expected)):
        return f"array {unknown[0]!r} is not expected"
    for name, array in arrays.items():
        wanted = expected[name]
        if array.shape != wanted.shape:
            return f"array {name!r} has shape {list(array.shape)}; expected {list(wanted.shape)}"
        if array.dtype != wanted.dtype:
            return f"array {name!r} has type {array.dtype}; expected {wanted.dtype}"
        if array.is_floating_point() and not bool(torch.isfinite(array).all()):
            return f"array {name!r} holds NaN or infinity"
    return None


def left_out_by_norm(updates: Mapping[int, tuple[State, State]], factor: float) -> dict[int, str]:
    """The clients whose update is too long: ‖w_k − w‖ above `factor` times the median of all clients.

    Each norm is relative to that of the weights it starts from, so that groups of other architectures compare. With fewer than
    three clients nobody can tell which one is wrong.

    Args:
        updates: by client: the new weights, and those that it was sent.

    Returns:
        the reason by client.
    """
    lengths = {client: _relative_length(*states) for client, states in updates.items()}
    if len(lengths) < 3:
        return {}
    middle = statistics.median(lengths.values())
    return {
        client: f"its update is {length / middle:.1f} times as long as the median one; {factor:g} times are allowed"
        for client, length in lengths.items()
        if middle > 0 and length > factor * middle
    }


def _relative_length(new: State, old: State) -> float:
    floats = [name for name, array in old.items() if array.is_floating_point()]
    moved = sum(float((new[name].double() - old[name].double()).square().sum()) for name in floats)
    size = sum(float(old[name].double().square().sum()) for name in floats)
    return float((moved / max(size, 1e-12)) ** 0.5)


def as_choices(outputs: Tensor, *, one_class: bool) -> Tensor:
    """Outputs as logits `[M, C]` of choices of which one is right, for the checks below.

    Args:
        outputs: `[N, C]`, or `[N, …, C]`.
        one_class: whether one of the C is right; otherwise each is a choice of its own between no and yes, `[N·C, 2]`.
    """
    return outputs.flatten(0, -2) if one_class else torch.stack([torch.zeros_like(outputs), outputs], -1).flatten(0, -2)


def left_out_by_validation(correct: Mapping[int, Sequence[bool]], classes: int) -> dict[int, str]:
    """The clients whose model is wrong beyond what few classes explain, on the server's validation data.

    FedDF (2006.07242) calls the like drop-worst.
    A model is left out if its share of correct answers is more than two standard errors below 1/C, or far below that of the
    other clients: by five standard deviations of these (from the median absolute deviation), and at least by 0.2. A model
    that was trained on few classes is right about these, and where all clients are such, their shares spread.

    Args:
        correct: by client, whether each validation item was predicted correctly.

    Returns:
        the reason by client; empty if nobody would be left.
    """
    shares = {client: sum(answers) / len(answers) for client, answers in correct.items()}
    items, guess, found = max(map(len, correct.values()), default=1), 1 / classes, {}
    middle, lowest = _alike(shares.values())
    for client, share in shares.items():
        right = f"its model is right on {share:.1%} of the validation items"
        if share < guess - 2 * (guess * (1 - guess) / items) ** 0.5:
            found[client] = f"{right}, fewer than guessing ({guess:.1%})"
        elif len(shares) > 3 and share < lowest:
            found[client] = f"{right}, far fewer than those of the other clients (median {middle:.1%})"
    return found if len(found) < len(correct) else {}


def left_out_by_consensus(logits: Mapping[int, Tensor]) -> dict[int, str]:
    """The clients whose predictions on public inputs contradict those of the others, where nobody knows the labels.

    Each client is compared with the mean probabilities of all others. It is left out if both name one class less often than
    by chance (p_e of Cohen's kappa, from how often each names which class) by three standard errors, or far less often than
    other clients, as in `left_out_by_validation`. A client of few classes names these everywhere, which is chance, and where
    all are such their shares spread; one that has learned flipped labels is below chance. With fewer than four clients nobody
    can tell which one is wrong.

    Args:
        logits: by client, `[N, C]` on the same inputs.

    Returns:
        the reason by client; empty if nobody would be left.
    """
    if len(logits) < 4:
        return {}
    probabilities = {client: each.double().softmax(-1) for client, each in logits.items()}
    everyone, found = torch.stack(list(probabilities.values())).sum(0), {}
    agreement, chance = {}, {}
    for client, own in probabilities.items():
        named, others = own.argmax(-1), (everyone - own).argmax(-1)
        agreement[client] = float((named == others).double().mean())
        shares = [torch.bincount(each, minlength=own.shape[-1]) / len(own) for each in (named, others)]
        chance[client] = float(shares[0] @ shares[1])
    items = len(everyone)
    middle, lowest = _alike(agreement.values())
    for client, share in agreement.items():
        agrees, guess = f"it names the class that the others name on {share:.1%} of the public items", chance[client]
        if share < guess - 3 * (guess * (1 - guess) / items) ** 0.5:
            found[client] = f"{agrees}, fewer than by chance ({guess:.1%})"
        elif share < lowest:
            found[client] = f"{agrees}, far fewer than the other clients do (median {middle:.1%})"
    return found if len(found) < len(logits) else {}


def _alike(shares: Iterable[float]) -> tuple[float, float]:
    """The median of shares, and the least that is still like the others: five standard deviations below, at least 0.2."""
    known = list(shares)
    middle = statistics.median(known) if known else 0.0
    spread = 1.4826 * statistics.median(abs(share - middle) for share in known) if known else 0.0
    return middle, middle - max(5 * spread, 0.2)
