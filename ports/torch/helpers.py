"""Layers that PyTorch has not, as source text: a generated file that uses one carries it."""

HELPERS: dict[str, str] = {
    "Standardize": '''
class Standardize(nn.Module):
    """(x - mean) / std with one constant a channel; `shape` is that of the constants next to x, without N."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(shape), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(shape), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, ...) -> (N, C, ...)."""
        return (x - self.mean) / self.std
''',
    "LearnedScale": '''
class LearnedScale(nn.Module):
    """weight * x with one learned number, which starts at `start`."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([start]))

    def forward(self, x: Tensor) -> Tensor:
        """x (...) -> (...)."""
        return self.weight * x
''',
    "Blur2d": '''
class Blur2d(nn.Module):
    """Each channel convolved with the outer square of `taps` divided by its sum, without padding."""

    def __init__(self, channels: int, taps: tuple[int, ...], stride: int = 1) -> None:
        super().__init__()
        row = torch.tensor(taps, dtype=torch.float32)
        square = torch.outer(row, row) / row.sum() ** 2
        self.register_buffer("filt", square.repeat(channels, 1, 1, 1))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, C, (H - taps)//stride + 1, (W - taps)//stride + 1)."""
        return F.conv2d(x, self.filt, stride=self.stride, groups=x.shape[1])
''',
    "BlurTranspose2d": '''
class BlurTranspose2d(nn.Module):
    """The adjoint of Blur2d times stride squared, cropped by `padding`: anti-aliased upsampling."""

    def __init__(self, channels: int, taps: tuple[int, ...], stride: int, padding: int) -> None:
        super().__init__()
        row = torch.tensor(taps, dtype=torch.float32)
        square = stride**2 * torch.outer(row, row) / row.sum() ** 2
        self.register_buffer("filt", square.repeat(channels, 1, 1, 1))
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, C, (H - 1) * stride + taps - 2 * padding, (W - 1) * stride + taps - 2 * padding)."""
        return F.conv_transpose2d(x, self.filt, stride=self.stride, padding=self.padding, groups=x.shape[1])
''',
}
