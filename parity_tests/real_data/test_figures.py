"""AOD-Net and SRGAN with their published files, where ../shared/data has them: every port gives their known figures.

The figures were measured with hand-written PyTorch networks; a pair of pictures has its figures by scikit-image.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

import twinzoo as tz
from twinzoo.cli import cli
from twinzoo.converters import files
from twinzoo.ports.registry import port

Array = NDArray[np.float64]
DATA = Path(__file__).parents[2].parent / "shared" / "data"
FILES = {"aodnet": DATA / "checkpoints" / "aodnet.pth", "srgan_generator": DATA / "checkpoints" / "srgan_netG.pth"}
PORTS = ["reference", "torch", "mindspore"]

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")


def opened(name: str) -> Image.Image:
    return Image.open(DATA / "images" / name).convert("RGB")


def unit(image: Image.Image) -> Array:
    """(H, W, 3) in [0, 1]."""
    return np.asarray(image, np.float64) / 255


def made(name: str, framework: str, image: Array) -> Array:
    """What the network with its published weights makes of a picture: (H, W, 3)."""
    if framework != "reference":
        pytest.importorskip(framework)
    model = tz.build(name, framework, weights=FILES[name])
    given = image.transpose(2, 0, 1)[None].astype(np.float32)
    output: Array = port(framework).run(model, {"image": given})["output"][0].transpose(1, 2, 0)
    return output


def psnr(image: Array, wanted: Array) -> float:
    return float(-10 * np.log10(np.mean((image - wanted) ** 2)))


def quality(image: Array, wanted: Array) -> tuple[float, float, float]:
    """PSNR in dB, SSIM with Wang's Gaussian window, and the mean CIEDE2000."""
    color, metrics = (pytest.importorskip(f"skimage.{part}") for part in ("color", "metrics"))
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    alike = metrics.structural_similarity(wanted, image, channel_axis=2, data_range=1, **window)
    off = color.deltaE_ciede2000(color.rgb2lab(wanted), color.rgb2lab(image))
    return psnr(image, wanted), float(alike), float(off.mean())


PAIRS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "1400_9": ((9.447, 0.67726, 24.5397), (14.0953, 0.78126, 12.2192)),
    "1402_9": ((10.3069, 0.56426, 22.8978), (17.1319, 0.73540, 8.5273)),
}
"""Hazy picture of SOTS -> the quality of itself, and of what AOD-Net makes of it, clipped and not rounded."""


def pair(name: str) -> tuple[Array, Array]:
    """The hazy picture and the clear one."""
    return unit(opened(f"pair_sots_hazy_{name}.png")), unit(opened(f"pair_sots_gt_{name.partition('_')[0]}.png"))


@pytest.mark.parametrize("framework", PORTS)
@pytest.mark.parametrize("name", PAIRS)
def test_aodnet_takes_so_much_haze_away(name: str, framework: str) -> None:
    hazy, clear = pair(name)
    before, after = PAIRS[name]
    assert quality(hazy, clear) == pytest.approx(before, abs=1e-3)
    assert quality(np.clip(made("aodnet", framework, hazy), 0, 1), clear) == pytest.approx(after, abs=1e-3)


def test_aodnet_on_the_five_pairs_of_its_figure() -> None:
    names = [path.stem.removeprefix("pair_sots_hazy_") for path in sorted((DATA / "images").glob("pair_sots_hazy_*"))]
    if len(names) != 5:
        pytest.skip(f"reproduction not run: needs five pairs of SOTS, {len(names)} are there")
    rows = [quality(np.clip(made("aodnet", "torch", hazy), 0, 1), clear) for hazy, clear in map(pair, names)]
    assert np.mean(rows, axis=0) == pytest.approx((15.89, 0.7818, 10.73), rel=1e-3)


@pytest.mark.parametrize("framework", PORTS)
def test_srgan_beats_bicubic_by_so_much(framework: str) -> None:
    wanted = opened("adain_content_golden_gate.jpg").resize((256, 256), Image.Resampling.BICUBIC)
    small = wanted.resize((64, 64), Image.Resampling.BICUBIC)
    blurred = small.resize((256, 256), Image.Resampling.BICUBIC)
    assert psnr(unit(blurred), unit(wanted)) == pytest.approx(24.643, abs=5e-4)
    sharp = made("srgan_generator", framework, unit(small))
    assert psnr(sharp, unit(wanted)) == pytest.approx(26.287, abs=5e-4)
    assert (sharp.mean(), sharp.std()) == pytest.approx((0.53550, 0.30080), abs=1e-5)


@pytest.mark.parametrize("name", FILES)
def test_a_published_file_goes_to_mindspore_and_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    """All that comes back with it are the counters of PyTorch's batch norms, which files before 0.4.1 have not."""
    naming = {"aodnet": "MayankSingal/PyTorch-Image-Dehazing", "srgan_generator": "leftthomas/SRGAN"}[name]
    tz.convert(FILES[name], name, tmp_path / "there.ckpt")
    tz.convert(tmp_path / "there.ckpt", name, tmp_path / "back.pth", naming=naming)
    before, after = files.read(FILES[name]), files.read(tmp_path / "back.pth")
    assert [key for key in after if not key.endswith("num_batches_tracked")] == list(before)
    assert all(after[key].tobytes() == before[key].tobytes() for key in before)


@pytest.mark.parametrize("name", FILES)
def test_the_command_that_shows_it(name: str) -> None:
    """`twinzoo check NAME --weights FILE`: both frameworks with the real weights, layer by layer."""
    pytest.importorskip("torch")
    pytest.importorskip("mindspore")
    done = CliRunner().invoke(cli, ["check", name, "--weights", str(FILES[name]), "--size", "24"])
    assert done.exit_code == 0, done.output
