import math

import torch

from tabsyn_core.vae import VAE

NAN = math.nan
LOW = [[-12.0, 0.0, NAN], [NAN], [-12.0, 0.5]]
HIGH = [[0.0, 0.7, NAN], [NAN], [0.5, 12.0]]


def new_vae(**changes):
    torch.manual_seed(0)
    return VAE(LOW, HIGH, **({"d_token": 2, "width": 8, "num_layers": 1, "num_heads": 2} | changes))


def states_by_column(logits, rows):
    states = torch.zeros(rows, len(LOW), dtype=torch.long)
    for columns, group in logits:
        states[:, columns] = group.argmax(-1).t()
    return states


def test_it_is_the_identity_before_training():
    vae = new_vae()
    ranks = torch.tensor([[-1.0, 0.3, 1.0], [0.3, -2.0, 0.0], [1.5, 0.0, 0.45]])
    states = torch.tensor([[0, 0, 1], [1, 0, 0], [2, 0, 0]])
    mean, log_variance = vae.encode(states, ranks)
    assert mean.shape == log_variance.shape == (3, 3, 2)
    logits, decoded = vae.decode(mean)
    torch.testing.assert_close(decoded, ranks)
    assert torch.equal(states_by_column(logits, 3), states)


def test_heads_are_probabilities_that_follow_the_intervals():
    logits, _ = new_vae().decode(torch.tensor([[[0.35, 0.0], [0.0, 0.0], [-3.0, 0.0]]]))
    for columns, group in logits:
        probabilities = group.softmax(-1)
        torch.testing.assert_close(probabilities.sum(-1), torch.ones(len(columns), 1))
        if 0 in columns:
            assert probabilities[columns.index(0), 0, 1] > 0.99  # inside the second atom's interval
            assert probabilities[columns.index(0), 0, 3] < 1e-6  # padding is never drawn


def test_loss_falls_when_a_column_says_what_another_is():
    vae, generator = new_vae(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        rank = torch.randn(64, 1, generator=generator)
        ranks = torch.cat([rank, rank, -rank], dim=1)
        states = torch.stack(
            [(ranks[:, 0] > 0).long() + (ranks[:, 0] > 0.7), torch.zeros(64).long(), (ranks[:, 2] > 0.5).long()], dim=1
        )
        reconstruction, kl = vae.loss(states, ranks, generator)
        loss = reconstruction + 1e-3 * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < sum(losses[:10])
    assert all(math.isfinite(loss) for loss in losses)
