"""Settings of the whole suite: quiet frameworks, one thread each, nothing written into the working directory."""

import os
import tempfile

os.environ.setdefault("GLOG_v", "3")  # MindSpore: errors only
os.environ.setdefault("MS_OM_PATH", tempfile.mkdtemp(prefix="mindspore-"))  # else rank_0/ in the working directory
os.environ.setdefault("TWINZOO_CACHE", tempfile.mkdtemp(prefix="twinzoo-cache-"))

from twinzoo.ports.mindspore.runtime import prepare

prepare()  # too late once a test has computed anything in MindSpore: its errors then depend on the order of the tests
