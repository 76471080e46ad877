"""A file that is no checkpoint: what it looks like, so that the message can say what went wrong on the way here."""

_TORCH = "re-save it with torch.save(model.state_dict(), ...)"
_FETCH = "fetch it again, from the address of the file itself"
_LOOKS: tuple[tuple[int, bytes, str, str], ...] = (  # offset, bytes, what has them there, what to do
    (0, b"version https://git-lfs", "is a Git LFS pointer", "run git lfs pull in its repository"),
    (0, b"<", "is a web page", _FETCH),
    (0, b"PK\x03\x04", "is a zip file of other things than tensors", "name the checkpoint inside it"),
    (0, b"PK\x05\x06", "is an empty zip file", _FETCH),
    (0, b"\x1f\x8b", "is compressed with gzip", "gunzip it first"),
    (257, b"ustar", "is a tar archive", f"unpack it; if torch before 0.1.10 made it, {_TORCH}"),
    (0, b"\x93NUMPY", "is a single NumPy array", "save it by name with numpy.savez"),
    (0, b"\x89HDF", "is an HDF5 file", "save its arrays by name with numpy.savez"),
    (0, b"{", "is JSON, which holds no tensors", "name the checkpoint itself, or its outermost index"),
    (0, b"\x80", "is a Python pickle that torch.save did not make", _TORCH),
)


def guess(head: bytes) -> str:
    """What is wrong, and what to do, about a file that begins with these bytes and that no format knows."""
    for offset, mark, what, remedy in _LOOKS:
        if head[offset:].lstrip(b"\xef\xbb\xbf \r\n\t" if offset == 0 else b"").startswith(mark):
            return f"{what}, expected a checkpoint: {remedy}"
    return (
        f"is no checkpoint of a known format (it begins with {head[:8].hex(' ')}): "
        "expected a torch, safetensors, MindSpore or npz file; was it encrypted, or cut off at the front?"
    )
