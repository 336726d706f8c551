"""Muon: momentum whose matrices are made orthogonal (Jordan et al., 2024), beside AdamW.

Here it learns the autoencoder about four times faster than AdamW, which stays at grey blobs for the
first ten minutes. Matrices of one shape are orthogonalised together; stacked ones (q, k and v in
one) each alone. Convolutions count as matrices [out, in * kernel]."""
import torch


def _orthogonal(x, steps=5):
    """The nearest orthogonal matrices of x [n, r, c], r <= c, roughly: Newton-Schulz."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(steps):
        s = x @ x.transpose(1, 2)
        x = a * x + (b * s + c * (s @ s)) @ x
    return x.float()


class Muon(torch.optim.Optimizer):
    """parts: id of a parameter -> how many matrices are stacked in it."""

    def __init__(self, params, lr, momentum=.95, decay=.01, parts=None):
        super().__init__(params, dict(lr=lr, momentum=momentum, decay=decay))
        self.parts = parts or {}

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            groups = {}
            for p in g['params']:
                if p.grad is None:
                    continue
                state = self.state[p]
                if 'm' not in state:
                    state['m'] = torch.zeros_like(p)
                m = state['m'].mul_(g['momentum']).add_(p.grad)
                u = p.grad.add(m, alpha=g['momentum'])
                n = self.parts.get(id(p), 1)
                for du, part in zip(u.chunk(n), p.data.chunk(n)):
                    du = du.flatten(1)
                    tall = du.shape[0] > du.shape[1]
                    groups.setdefault(tuple(sorted(du.shape)), []).append(
                        (du.T if tall else du, part, tall))
            for (_, long), items in groups.items():
                step = -g['lr'] * .2 * long ** .5  # the rms of an AdamW step
                all_ = _orthogonal(torch.stack([i[0] for i in items]))
                for o, (_, part, tall) in zip(all_, items):
                    part.mul_(1 - g['lr'] * g['decay'])
                    part.add_((o.T if tall else o).reshape(part.shape), alpha=step)


class Both:
    """Several optimisers as one."""

    def __init__(self, *optimisers):
        self.optimisers = optimisers

    def set_lr(self, lr):
        for o in self.optimisers:
            for g in o.param_groups:
                g['lr'] = lr * g.get('times', 1.)

    def step(self):
        for o in self.optimisers:
            o.step()

    def zero_grad(self):
        for o in self.optimisers:
            o.zero_grad()

    def state_dict(self):
        return [o.state_dict() for o in self.optimisers]

    def load_state_dict(self, states):
        for o, s in zip(self.optimisers, states):
            o.load_state_dict(s)
