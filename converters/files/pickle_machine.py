"""The stack machine that a pickle is a program for, with every operation that could run something taken out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_INTEGER_BITS = 256  # the magic number of old torch files has 80


@dataclass(frozen=True)
class Stub:
    """What stands in for a global name; `call` is our own inert reading of what calling it would build."""

    name: str
    call: Callable[..., object] | None = None
    value: object = None


class Standin:
    """A base for objects that a stub builds and that a pickle may set a state on."""

    def build(self, state: object) -> None:
        """Take over the state; the default is to ignore it."""


class Refused(ValueError):
    """A pickle that asks for something, and what to do about it; `load` adds file and offset."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


_LITERALS = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)
_CONSTANTS: Mapping[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_KEYS = (str, bytes, int, float, bool, type(None))
_SIZED = (str, bytes, bytearray, list, tuple, dict)


class Machine:
    """The pickle stack machine. Sets are kept as lists, so that nothing of the file's is ever hashed but plain keys."""

    def __init__(self, find: Callable[[str, str], Stub], persistent: Callable[[object], object]) -> None:
        self.stack: list[object] = []
        self.marks: list[int] = []
        self._memo: dict[int, object] = {}
        self._find = find
        self._persistent = persistent
        self.allowance = 0
        self._spent = 0

    def step(self, name: str, argument: object) -> None:
        if name in _LITERALS:
            if isinstance(argument, int) and argument.bit_length() > MAX_INTEGER_BITS:
                raise ValueError(f"an integer of {argument.bit_length()} bits")
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        else:
            action = _ACTIONS.get(name)
            if action is None:
                raise ValueError(f"opcode {name}, which torch does not write")
            action(self, argument)

    def _pop_mark(self) -> list[object]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def _pop(self, count: int) -> list[object]:
        floor = self.marks[-1] if self.marks else 0
        if len(self.stack) - count < floor:
            raise ValueError("stack underflow")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def mark(self, _: object) -> None:
        self.marks.append(len(self.stack))

    def pop(self, _: object) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self._pop(1)

    def pop_mark(self, _: object) -> None:
        self._pop_mark()

    def dup(self, _: object) -> None:
        self.stack.append(self.stack[-1])

    def nothing(self, _: object) -> None:
        """PROTO, FRAME and STOP, which `pickletools` has acted on."""

    def get(self, index: object) -> None:
        self.stack.append(self._memo[_integer(index)])

    def put(self, index: object) -> None:
        self._memo[_integer(index)] = self.stack[-1]

    def memoize(self, _: object) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def empty_list(self, _: object) -> None:
        self.stack.append([])

    def empty_dict(self, _: object) -> None:
        self.stack.append({})

    def list_(self, _: object) -> None:
        self.stack.append(self._pop_mark())

    def tuple_(self, _: object) -> None:
        self.stack.append(tuple(self._pop_mark()))

    def tuple1(self, _: object) -> None:
        self.stack.append(tuple(self._pop(1)))

    def tuple2(self, _: object) -> None:
        self.stack.append(tuple(self._pop(2)))

    def tuple3(self, _: object) -> None:
        self.stack.append(tuple(self._pop(3)))

    def dict_(self, _: object) -> None:
        items = self._pop_mark()
        self.stack.append({})
        self._update(items)

    def append(self, _: object) -> None:
        self._extend(self._pop(1))

    def appends(self, _: object) -> None:
        self._extend(self._pop_mark())

    def setitem(self, _: object) -> None:
        self._update(self._pop(2))

    def setitems(self, _: object) -> None:
        self._update(self._pop_mark())

    def _extend(self, items: list[object]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise ValueError(f"items for a {_kind(target)}")
        target.extend(items)

    def _update(self, items: list[object]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError(f"keys and values for a {_kind(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, _KEYS) or (isinstance(key, int) and key.bit_length() > 64):
                raise ValueError(f"a {_kind(key)} as a key")
            target[key] = value

    def global_(self, argument: object) -> None:
        module, _, name = str(argument).partition(" ")
        self.stack.append(self._find(module, name))

    def stack_global(self, _: object) -> None:
        module, name = self._pop(2)
        if not (isinstance(module, str) and isinstance(name, str)):
            raise ValueError("a global that is not named by two strings")
        self.stack.append(self._find(module, name))

    def reduce(self, _: object) -> None:
        function, arguments = self._pop(2)
        if not isinstance(function, Stub) or not isinstance(arguments, tuple):
            raise ValueError(f"a call of a {_kind(function)}")
        if function.call is None:
            raise ValueError(f"a call of {function.name}")
        self._spend(arguments)
        self.stack.append(function.call(*arguments))

    def _spend(self, arguments: object) -> None:
        """A call copies its arguments: a pickle that hands over one big object again and again is stopped."""
        if isinstance(arguments, tuple):
            self._spent += len(arguments) + sum(len(item) for item in arguments if isinstance(item, _SIZED))
        if self._spent > self.allowance:
            raise ValueError("the same content is used over and over")

    def build(self, _: object) -> None:
        (state,) = self._pop(1)
        target = self.stack[-1]
        if isinstance(target, Standin):
            self._spend(state)
            target.build(state)
        elif not isinstance(target, dict):  # an OrderedDict's attributes are not its items
            raise ValueError(f"a state for a {_kind(target)}")

    def persistent_id(self, argument: object) -> None:
        self.stack.append(self._persistent(argument))

    def binary_persistent_id(self, _: object) -> None:
        self.stack.append(self._persistent(self._pop(1)[0]))


_ACTIONS: Mapping[str, Callable[[Machine, object], None]] = {
    "PROTO": Machine.nothing,
    "FRAME": Machine.nothing,
    "STOP": Machine.nothing,
    "MARK": Machine.mark,
    "POP": Machine.pop,
    "POP_MARK": Machine.pop_mark,
    "DUP": Machine.dup,
    "GET": Machine.get,
    "BINGET": Machine.get,
    "LONG_BINGET": Machine.get,
    "PUT": Machine.put,
    "BINPUT": Machine.put,
    "LONG_BINPUT": Machine.put,
    "MEMOIZE": Machine.memoize,
    "EMPTY_LIST": Machine.empty_list,
    "EMPTY_SET": Machine.empty_list,
    "LIST": Machine.list_,
    "FROZENSET": Machine.list_,
    "APPEND": Machine.append,
    "APPENDS": Machine.appends,
    "ADDITEMS": Machine.appends,
    "TUPLE": Machine.tuple_,
    "TUPLE1": Machine.tuple1,
    "TUPLE2": Machine.tuple2,
    "TUPLE3": Machine.tuple3,
    "EMPTY_DICT": Machine.empty_dict,
    "DICT": Machine.dict_,
    "SETITEM": Machine.setitem,
    "SETITEMS": Machine.setitems,
    "GLOBAL": Machine.global_,
    "STACK_GLOBAL": Machine.stack_global,
    "REDUCE": Machine.reduce,
    "NEWOBJ": Machine.reduce,
    "BUILD": Machine.build,
    "PERSID": Machine.persistent_id,
    "BINPERSID": Machine.binary_persistent_id,
}


def _integer(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**32:
        raise ValueError("a memo index that is no 32-bit number")
    return value


def _kind(value: object) -> str:
    return value.name if isinstance(value, Stub) else type(value).__name__
