"""Cells that MindSpore has not, as source text: a generated file that uses one carries it."""

HELPERS: dict[str, str] = {
    "Standardize": '''
class Standardize(nn.Cell):
    """(x - mean) / std with one constant a channel; `shape` is that of the constants next to x, without N."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.mean = Tensor(mean, ms.float32).reshape(shape)
        self.std = Tensor(std, ms.float32).reshape(shape)

    def construct(self, x: Tensor) -> Tensor:
        """x (N, C, ...) -> (N, C, ...)."""
        return (x - self.mean) / self.std
''',
    "LearnedScale": '''
class LearnedScale(nn.Cell):
    """weight * x with one learned number, which starts at `start`."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.weight = Parameter(Tensor([start], ms.float32), name="weight")

    def construct(self, x: Tensor) -> Tensor:
        """x (...) -> (...)."""
        return self.weight * x
''',
    "LayerNorm": '''
class LayerNorm(nn.Cell):
    """Normalisation over the dimensions from `axis` on, without gain and offset, which nn.LayerNorm always has."""

    def __init__(self, axis: int, eps: float) -> None:
        super().__init__()
        self.axis = axis
        self.norm = ops.LayerNorm(begin_norm_axis=axis, begin_params_axis=axis, epsilon=eps)

    def construct(self, x: Tensor) -> Tensor:
        """x (...) -> (...)."""
        shape = x.shape[self.axis :]
        return self.norm(x, ops.ones(shape, x.dtype), ops.zeros(shape, x.dtype))[0]
''',
    "BatchNorm": '''
class BatchNorm(nn.Cell):
    """Batch normalisation without gain and offset, of which nn.BatchNorm2d keeps frozen ones among the parameters."""

    def __init__(self, channels: int, eps: float, momentum: float) -> None:
        super().__init__()
        self.moving_mean = Parameter(ops.zeros(channels, ms.float32), name="moving_mean", requires_grad=False)
        self.moving_variance = Parameter(ops.ones(channels, ms.float32), name="moving_variance", requires_grad=False)
        self.gamma = ops.ones(channels, ms.float32)
        self.beta = ops.zeros(channels, ms.float32)
        self.by_batch = ops.BatchNorm(is_training=True, epsilon=eps, momentum=momentum)
        self.by_moving = ops.BatchNorm(is_training=False, epsilon=eps)

    def construct(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, C, H, W)."""
        if self.training:
            return self.by_batch(x, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0]
        return self.by_moving(x, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0]
''',
    "spectral_weight": '''
def spectral_weight(weight: Tensor, u: Parameter, v: Parameter, axis: int, eps: float, training: bool) -> Tensor:
    """weight / (u W v), W being the weight as a matrix with `axis` as its rows: spectral norm, to which u, v are fixed.

    Training first moves u and v by one step of the power method (Miyato et al. 2018, Algorithm 1).
    """
    matrix = weight.swapaxes(0, axis).reshape(u.shape[0], -1)
    left, right = u.reshape(1, -1), v.reshape(-1, 1)
    if training:
        fixed = ops.stop_gradient(matrix)
        left = ops.matmul(fixed, right).reshape(1, -1)
        left = left / ops.clamp(ops.sqrt(ops.sum(ops.square(left))), min=eps)
        right = ops.matmul(left, fixed).reshape(-1, 1)
        right = right / ops.clamp(ops.sqrt(ops.sum(ops.square(right))), min=eps)
        ops.assign(u, left.reshape(-1))
        ops.assign(v, right.reshape(-1))
    return weight / ops.matmul(left, ops.matmul(matrix, right)).reshape(())
''',
    "SpectralConv2d": '''
class SpectralConv2d(nn.Conv2d):
    """nn.Conv2d with spectral norm."""

    def __init__(self, *sizes: int, eps: float = 1e-12, **options: object) -> None:
        super().__init__(*sizes, **options)
        self.weight_orig = Parameter(self.weight.value(), name="weight_orig")
        del self.weight
        rows, size = self.weight_orig.shape[0], self.weight_orig.size
        self.weight_u = Parameter(ops.ones(rows, ms.float32), name="weight_u", requires_grad=False)
        self.weight_v = Parameter(ops.ones(size // rows, ms.float32), name="weight_v", requires_grad=False)
        self.eps = eps

    def construct(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, out channels, H', W')."""
        weight = spectral_weight(self.weight_orig, self.weight_u, self.weight_v, 0, self.eps, self.training)
        y = self.conv2d(x, weight)
        return self.bias_add(y, self.bias) if self.has_bias else y
''',
    "SpectralConv2dTranspose": '''
class SpectralConv2dTranspose(nn.Conv2dTranspose):
    """nn.Conv2dTranspose with spectral norm, without `output_padding`."""

    def __init__(self, *sizes: int, eps: float = 1e-12, **options: object) -> None:
        super().__init__(*sizes, **options)
        self.weight_orig = Parameter(self.weight.value(), name="weight_orig")
        del self.weight
        rows, size = self.weight_orig.shape[1], self.weight_orig.size
        self.weight_u = Parameter(ops.ones(rows, ms.float32), name="weight_u", requires_grad=False)
        self.weight_v = Parameter(ops.ones(size // rows, ms.float32), name="weight_v", requires_grad=False)
        self.eps = eps

    def construct(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, out channels, H', W')."""
        weight = spectral_weight(self.weight_orig, self.weight_u, self.weight_v, 1, self.eps, self.training)
        reach = [self.dilation[i] * (self.kernel_size[i] - 1) + 1 for i in (0, 1)]
        height = (x.shape[2] - 1) * self.stride[0] + reach[0] - self.padding_top - self.padding_bottom
        width = (x.shape[3] - 1) * self.stride[1] + reach[1] - self.padding_left - self.padding_right
        y = self.conv2d_transpose(x, weight, (x.shape[0], self.out_channels, height, width))
        return self.bias_add(y, self.bias) if self.has_bias else y
''',
    "SpectralDense": '''
class SpectralDense(nn.Dense):
    """nn.Dense with spectral norm."""

    def __init__(self, *sizes: int, eps: float = 1e-12, **options: object) -> None:
        super().__init__(*sizes, **options)
        self.weight_orig = Parameter(self.weight.value(), name="weight_orig")
        del self.weight
        self.weight_u = Parameter(ops.ones(sizes[1], ms.float32), name="weight_u", requires_grad=False)
        self.weight_v = Parameter(ops.ones(sizes[0], ms.float32), name="weight_v", requires_grad=False)
        self.eps = eps

    def construct(self, x: Tensor) -> Tensor:
        """x (..., features in) -> (..., features out)."""
        weight = spectral_weight(self.weight_orig, self.weight_u, self.weight_v, 0, self.eps, self.training)
        return ops.dense(x, weight, self.bias if self.has_bias else None)
''',
    "Blur2d": '''
class Blur2d(nn.Conv2d):
    """Each channel convolved with the outer square of `taps` divided by its sum, without padding: a fixed filter."""

    def __init__(self, channels: int, taps: tuple[int, ...], stride: int = 1) -> None:
        super().__init__(channels, channels, len(taps), stride=stride, pad_mode="valid", group=channels)
        row = np.array(taps, np.float32)
        square = np.outer(row, row) / row.sum() ** 2
        self.weight.set_data(Tensor(np.tile(square, (channels, 1, 1, 1))))
        self.weight.requires_grad = False
''',
    "BlurTranspose2d": '''
class BlurTranspose2d(nn.Conv2dTranspose):
    """The adjoint of Blur2d times stride squared, cropped by `padding`: anti-aliased upsampling by a fixed filter."""

    def __init__(self, channels: int, taps: tuple[int, ...], stride: int, padding: int) -> None:
        super().__init__(channels, channels, len(taps), stride=stride, pad_mode="pad", padding=padding, group=channels)
        row = np.array(taps, np.float32)
        square = stride**2 * np.outer(row, row) / row.sum() ** 2
        self.weight.set_data(Tensor(np.tile(square, (channels, 1, 1, 1))))
        self.weight.requires_grad = False
''',
}
