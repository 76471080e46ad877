"""Settings of the whole suite: quiet frameworks, one thread each, nothing written into the working directory."""

import os
import tempfile
from collections.abc import Iterator

import pytest

os.environ.setdefault("GLOG_v", "3")  # MindSpore: errors only
os.environ.setdefault("MS_OM_PATH", tempfile.mkdtemp(prefix="mindspore-"))  # else rank_0/ in the working directory
os.environ.setdefault("TWINZOO_CACHE", tempfile.mkdtemp(prefix="twinzoo-cache-"))

from twinzoo.ports.mindspore.runtime import prepare

prepare()  # too late once a test has computed anything in MindSpore: its errors then depend on the order of the tests


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks this small are slower on several threads, by far where the machine is busy."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
