"""prepared.py TRAIN: damaged and forged prepared files: reported with the file and the remedy, never replaced."""
import ctypes
import json
import os
import struct
from pathlib import Path

from harness import OWN_CASES, Case, metrics, program, require, workspace
from limits import accepted, refused

train, _ = program()
case = Case(OWN_CASES / "llama")
SAMPLES = [{"input_ids": [41, 42, 43, 44, 45]}, {"input_ids": [46, 47], "labels": [-100, 7]}, {"input_ids": [48, 49, 50]}]


def int32s(*values):
    return struct.pack(f"<{len(values)}i", *values)


def hdf5_library():
    """The C library, for files that no program of ours writes; None where it is not found under a known name."""
    for path in sorted(Path("/usr/lib").glob("**/libhdf5_serial.so.*")) + sorted(Path("/usr/lib").glob("**/libhdf5.so.*")):
        try:
            library = ctypes.CDLL(str(path))
            for name in ("H5Fopen", "H5Dopen2"):
                getattr(library, name).restype = ctypes.c_int64
            library.H5open()
            return library
        except (OSError, AttributeError):
            continue
    return None


def with_hdf5(library, path, change):
    file = ctypes.c_int64(library.H5Fopen(bytes(path), 1, ctypes.c_int64(0)))  # H5F_ACC_RDWR
    require(file.value >= 0, "the file can be changed")
    require(change(file) >= 0 and library.H5Fclose(file) >= 0, "the change is made")


def claim_many(library, dataset):
    def change(file):
        data = ctypes.c_int64(library.H5Dopen2(file, dataset, ctypes.c_int64(0)))
        extent = ctypes.c_uint64(1 << 40)
        return library.H5Dset_extent(data, ctypes.byref(extent)) | library.H5Dclose(data)
    return change


def link_away(library, dataset, soft):
    zero = ctypes.c_int64(0)

    def change(file):
        library.H5Ldelete(file, dataset, zero)
        if soft:
            return library.H5Lcreate_soft(b"/tokens", file, dataset, zero, zero)
        return library.H5Lcreate_external(b"other.h5", dataset, file, dataset, zero, zero)
    return change


with workspace() as place:
    data = place / "data.jsonl"
    data.write_text("".join(json.dumps(sample) + "\n" for sample in SAMPLES))
    settings = {**case.settings(), "dataset.reference.path": data, "train.max_steps": 1, "train.warmup_steps": 0,
                "train.lr_scheduler": "linear", "train.global_batch_size": 3, "checkpoint.resume": "never"}
    folder = place / "job"
    job = train.job(folder, settings)
    accepted(train, "a job with its prepared file", [job])
    rows = [row for row in metrics(folder) if "loss" in row]
    require(rows[0]["supervised_tokens"] == 7 and rows[0]["loss"] > 0, "it trains on seven tokens", rows)
    prepared = next((folder / "prepared").glob("prepared-*.h5"))
    whole = prepared.read_bytes()

    def told(what, arguments=None):
        before = prepared.read_bytes() if prepared.is_file() and not prepared.is_fifo() else None
        refused(train, what, arguments or [job], 4, (str(prepared), "delete this prepared file"))
        require(before is None or prepared.read_bytes() == before, f"{what}: the file stays as it is")

    changes = {
        "another token": (int32s(44, 45), int32s(44, 46)),
        "another label": (int32s(-100, 7), int32s(-100, 8)),
        "a label less": (int32s(-100, 7), int32s(-100, -100)),
        "no supervised token": (int32s(4, 1, 2), int32s(0, 0, 0)),
        "-7 supervised tokens": (int32s(4, 1, 2), int32s(-7, 1, 2)),
        "a longer sample": (int32s(5, 2, 3), int32s(5, 3, 3)),
        "an earlier start": (struct.pack("<3q", 0, 5, 7), struct.pack("<3q", 0, 4, 7)),
    }
    for what, (bytes_before, bytes_after) in changes.items():
        require(whole.count(bytes_before) >= 1, f"{what}: its bytes are found")
        prepared.write_bytes(whole.replace(bytes_before, bytes_after))
        told(what)
    for what, content in (("no byte at all", b""), ("half of it", whole[:len(whole) // 2]), ("another file", b"x" * 5000)):
        prepared.write_bytes(content)
        told(what)
        told(f"{what}, preprocess", ["preprocess", job])

    prepared.unlink()
    for what, make in (("a pipe", os.mkfifo), ("a directory", os.mkdir), ("a loop of links", lambda p: os.symlink(p, p)),
                       ("a link to nowhere", lambda p: os.symlink("nowhere", p)),
                       ("a device", lambda p: os.symlink("/dev/zero", p))):
        make(prepared)
        told(f"{what} in its place")
        os.rmdir(prepared) if what == "a directory" else prepared.unlink()

    library = hdf5_library()
    if library is None:
        print("not tried: sizes and links, for want of the HDF5 library")
    else:
        for what, change in (("2^40 tokens", claim_many(library, b"/tokens")), ("2^40 labels", claim_many(library, b"/labels")),
                             ("labels in another file", link_away(library, b"/labels", False)),
                             ("labels that are a link", link_away(library, b"/labels", True)),
                             ("a split in another file", link_away(library, b"/splits", False))):
            prepared.write_bytes(whole)
            (prepared.parent / "other.h5").write_bytes(whole)
            with_hdf5(library, prepared, change)
            told(what)

    victim = place / "victim"
    victim.write_text("untouched")
    prepared.unlink()
    prepared.with_name(prepared.name + ".tmp").symlink_to(victim)
    accepted(train, "a link at the temporary name", [job])
    require(victim.read_text() == "untouched" and prepared.read_bytes() == whole, "it is replaced, and what it leads to stays")
