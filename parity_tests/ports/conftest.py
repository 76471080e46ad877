"""Ports for the tests of this folder; generated files go to a directory of the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from twinzoo.ports.mindspore.port import MindSporePort
from twinzoo.ports.registry import port
from twinzoo.ports.torch.port import TorchPort


@pytest.fixture(scope="session", autouse=True)
def generated_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWINZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def torch_port() -> TorchPort:
    """The PyTorch port, where PyTorch is installed."""
    pytest.importorskip("torch")
    found = port("torch")
    assert isinstance(found, TorchPort)
    return found


@pytest.fixture(scope="session")
def mindspore_port() -> MindSporePort:
    """The MindSpore port, prepared before anything else imports MindSpore."""
    from twinzoo.ports.mindspore.runtime import prepare

    prepare()
    pytest.importorskip("mindspore")
    found = port("mindspore")
    assert isinstance(found, MindSporePort)
    return found
