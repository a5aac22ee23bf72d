"""The GPU's kernel against the rounds one by one; run as a script it uses Triton's interpreter, without a GPU."""

from __future__ import annotations

import torch

from recsys_cli.slates.optimal import MAX_ROUNDS, TOLERANCE, of_shown, optimal_slates, slate_values

SHAPES = ((70, 10, 2), (9, 100, 5), (3, 7, 1), (5, 600, 4), (6, 4, 4))


def compare(device: str) -> None:
    """Fail where values or slates differ."""
    from recsys_cli.slates.kernel import solve  # imports Triton, which some platforms lack

    generator = torch.Generator().manual_seed(0)
    for rows, candidates, k in SHAPES:
        v = torch.rand(rows, candidates, generator=generator)
        v *= torch.rand(v.shape, generator=generator) > 0.3
        v[0] = 0  # nobody reacts
        q = torch.randn(rows, candidates + 1, generator=generator) * 10
        v_null = torch.rand(rows, generator=generator) * (torch.arange(rows) % 3 > 0)
        for dtype in (torch.float32, torch.float64):
            # As networks return them: values and the null's are of one memory, and no row is contiguous.
            wide, *others = (part.to(device, dtype) for part in (q, v, v_null))
            arguments = (others[0], wide[:, :-1], others[1], wide[:, -1])
            _, best = optimal_slates(*arguments, k)
            slates, values = solve(*arguments, k, MAX_ROUNDS, TOLERANCE)
            torch.testing.assert_close(values, best, rtol=1e-5, atol=1e-5)
            assert all(len(set(row)) == k and set(row) <= set(range(candidates)) for row in slates.tolist())
            shown = [part.gather(-1, slates) for part in arguments[:2]]
            torch.testing.assert_close(slate_values(*shown, *arguments[2:]), best, rtol=1e-5, atol=1e-5)
            compare_masked(arguments, k, torch.rand(v.shape, generator=generator).to(device) < 0.5)


def compare_masked(arguments: tuple[torch.Tensor, ...], k: int, mask: torch.Tensor) -> None:
    """Fail where candidates that are not there are shown, or others than those of greatest value."""
    from recsys_cli.slates.kernel import solve

    _, best = optimal_slates(*arguments, k, mask)
    slates, values = solve(*arguments, k, MAX_ROUNDS, TOLERANCE, mask)
    torch.testing.assert_close(values, best, rtol=1e-5, atol=1e-5)
    for row, there in zip(slates.tolist(), mask.tolist(), strict=True):
        filled = min(k, sum(there))
        assert row[filled:] == [-1] * (k - filled)
        assert len(set(row[:filled])) == filled and all(there[i] for i in row[:filled])
    shown = [of_shown(part, slates) for part in arguments[:2]]
    torch.testing.assert_close(slate_values(*shown, *arguments[2:]), best, rtol=1e-5, atol=1e-5)


if __name__ == "__main__":
    compare("cpu")
