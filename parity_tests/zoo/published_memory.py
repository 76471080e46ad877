"""MemoPainter's networks as PyTorch modules nested as the published ones are, with nothing of twinzoo's."""

from __future__ import annotations

from typing import Any


def _adain(channels: int) -> Any:
    """Instance norm whose gain and offset are set from outside; its statistics are there and never used."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Norm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.channels = channels
            self.given: Any = None
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_var", torch.ones(channels))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            offset, gain = (part.reshape(-1) for part in self.given.split(self.channels, dim=1))
            flat = x.reshape(1, -1, *x.shape[2:])
            return F.batch_norm(flat, None, None, gain, offset, True).reshape(x.shape)

    return Norm()


def _block(name: str, layer: Any, act: Any, norm: bool, dropout: float = 0.0) -> Any:
    """The layer under two names: its own, and its place in the body."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            setattr(self, name, layer)
            modules = [act, layer, *([_adain(layer.out_channels)] if norm else [])]
            self.body = nn.Sequential(*modules, *([nn.Dropout(dropout)] if dropout else []))

        def forward(self, *given: Any) -> Any:
            return self.body(*given)

    return Block()


def memory_generator(width: int, depth: int, colours: int, dropout: float = 0.5) -> Any:
    """(lightness, colour) -> ab."""
    import torch
    from torch import nn

    wide = [width * min(2**i, 8) for i in range(depth)]
    units = 2 * (sum(wide[1:-1]) + sum(wide[:-1]))

    class Published(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.e1 = nn.Conv2d(1, width, 4, 2, 1)
            for i in range(2, depth + 1):
                layer: Any = nn.Conv2d(wide[i - 2], wide[i - 1], 4, 2, 1)
                setattr(self, f"e{i}", _block("conv", layer, nn.LeakyReLU(0.2), i < depth))
            before = wide[-1]
            for i, after in enumerate([*wide[-2::-1], 2], 1):
                layer = nn.ConvTranspose2d(before, after, 4, 2, 1)
                rate = dropout if i <= 3 and i < depth else 0.0
                setattr(self, f"d{i}", _block("deconv", layer, nn.ReLU(), i < depth, rate))
                before = 2 * after
            self.mlp: Any = nn.Module()
            layers = [nn.Linear(colours, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU(), nn.Linear(units, units)]
            self.mlp.model = nn.Sequential(*layers)

        def forward(self, lightness: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
            left = self.mlp.model(colour)
            norms: list[Any] = [m for m in self.modules() if hasattr(m, "given")]
            for norm in norms:
                norm.given, left = left[:, : 2 * norm.channels], left[:, 2 * norm.channels :]
            x = self.e1(lightness)
            skips = [x]
            for i in range(2, depth + 1):
                x = getattr(self, f"e{i}")(x)
                skips.append(x)
            skips.pop()
            for i in range(1, depth):
                x = torch.cat([getattr(self, f"d{i}")(x), skips.pop()], 1)
            return torch.tanh(getattr(self, f"d{depth}")(x))

    return Published()


def memory_discriminator(width: int, colours: int, size: int) -> Any:
    """(ab, lightness, colour) -> logits; the published sigmoid is left to the loss."""
    import torch
    from torch import nn

    class Published(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers: list[Any] = []
            before = 3 + colours
            for i in range(5):
                layers += [nn.Conv2d(before, width * 2**i, 4, 2, 1), nn.LeakyReLU(0.01)]
                before = width * 2**i
            self.main = nn.Sequential(*layers)
            self.conv1 = nn.Conv2d(before, before, 3, 1, 1, bias=False)
            units = before * (size // 32) ** 2
            self.fc = nn.Sequential(nn.BatchNorm1d(units), nn.Linear(units, 1))

        def forward(self, ab: torch.Tensor, lightness: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
            everywhere = colour[:, :, None, None].expand(-1, -1, *ab.shape[2:])
            x = self.conv1(self.main(torch.cat([ab, lightness, everywhere], 1)))
            made: torch.Tensor = self.fc(x.flatten(1))
            return made

    return Published()


def divergence(known: Any, colour: Any) -> Any:
    """KL_divergence of memory_network.py, where no bin is empty."""
    return (known * (known / (colour + 1e-8)).log10()).sum(-1)


def triplet(query: Any, keys: Any, values: Any, colour: Any, neighbours: int, threshold: float) -> Any:
    """unsupervised_loss of memory_network.py."""
    best, places = (query @ keys.T).topk(neighbours, 1)
    same = (divergence(values[places], colour[:, None]) < threshold).to(best.dtype)
    positive, negative = (best * same).max(1).values, (best * (1 - same)).max(1).values
    return (negative - positive + 0.1).clamp(min=0).mean()


def update(query: Any, colour: Any, memory: dict[str, Any], noise: Any, threshold: float) -> dict[str, Any]:
    """memory_update of memory_network.py, image by image, without the random draw."""
    keys, values, ages = (memory[name].clone() for name in ("keys", "values", "ages"))
    nearest = (query @ keys.T).argmax(1)
    known = divergence(values[nearest], colour) < threshold
    ages += 1
    for i in known.nonzero().flatten().tolist():
        keys[nearest[i]] += query[i]
        ages[nearest[i]] = 0
    touched = nearest[known].unique()
    keys[touched] = keys[touched] / keys[touched].norm(dim=1, keepdim=True)
    new = (~known).nonzero().flatten()
    oldest = (ages + noise).topk(len(new)).indices
    keys[oldest], values[oldest], ages[oldest] = query[new], colour[new], 0.0
    return {"keys": keys, "values": values, "ages": ages}
