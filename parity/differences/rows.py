"""All rows, by section, in the order of the page."""

from __future__ import annotations

from twinzoo.parity.differences import rows_functions, rows_layers, rows_training
from twinzoo.parity.differences.row import Row

SECTIONS: dict[str, tuple[Row, ...]] = {
    "Convolutions": rows_layers.CONVOLUTIONS,
    "Normalisation": rows_layers.NORMS,
    "Activations": rows_layers.ACTIVATIONS,
    "Pooling": rows_layers.POOLING,
    "Resizing": rows_functions.RESIZING,
    "Tensors and functions": rows_functions.FUNCTIONS,
    "Accuracy of kernels": rows_functions.KERNELS,
    "Losses": rows_training.LOSSES,
    "Dropout": rows_training.DROPOUT,
    "Optimizers": rows_training.OPTIMIZERS,
    "Initial weights": rows_training.INITIAL,
    "Names and shapes in a checkpoint": rows_training.NAMES,
}
