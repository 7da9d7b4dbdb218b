"""Only the uncertain sample of two is distilled."""

from __future__ import annotations

from tests.methods.by_hand import built, check_gradients, cross_entropy, divergence, entropy, logits, loss, teacher_logits


def test_by_hand():
    criterion, actors = built("uncertain_items", temperature=2, alpha=0.9)
    s, (t,) = logits(actors, "student"), teacher_logits(actors)
    chosen = int(entropy(s).argmax())
    expected = 0.1 * cross_entropy(s).mean() + 0.9 * divergence(t, s, 2)[chosen]  # of one item of two, twice its share
    check_gradients(loss(criterion), expected, actors)
