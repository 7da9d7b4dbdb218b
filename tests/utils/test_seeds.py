"""Seeds from several numbers and names."""

from __future__ import annotations

from limbeck.utils.seeds import mix_seeds


def test_every_number_and_their_order_count() -> None:
    seeds = [mix_seeds(*numbers) for numbers in ((0, 1), (1, 0), (0, 1, 0), (1,), (11,), (0, 11))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert mix_seeds(3, 4) == mix_seeds(3, 4)
    assert mix_seeds(3, "4") == mix_seeds(3, 4)  # names and numbers alike: generators of named streams
