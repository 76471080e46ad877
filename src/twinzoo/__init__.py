"""Image-to-image models as PyTorch and MindSpore twins, and the proof that nothing was lost between them."""

from pathlib import Path as _Path

__version__ = "0.1.0"

if (_Path(__file__).parent / "zoo").is_file():  # git wrote the links as text files
    raise ImportError(
        "this checkout has no symbolic links: run `git config core.symlinks true && git checkout -- src`, "
        "or install without -e"
    )
