import torch


class DropPath(torch.nn.Module):
    """Stochastic depth; inference passes everything through."""

    def __init__(self, drop_prob=None):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x):
        if self.training:
            raise NotImplementedError("the comparison does not train")
        return x


def to_2tuple(value):
    return value if isinstance(value, tuple) else (value, value)


trunc_normal_ = torch.nn.init.trunc_normal_
