"""Let the torch of PyPI be imported on a machine without CUDA: `python cpu_torch.py` after `pip install --no-deps torch`.

The wheel for Linux links against about 3 GB of CUDA libraries that nobody needs to compute on a CPU.  This writes, beside
torch's own libraries, one small stand-in for each CUDA library that they name: every function in them answers
cudaErrorNoDevice, so that torch finds no GPU.  Needs g++ and binutils, which the build needs too.
"""
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

CUDA_LIBRARY = re.compile(r"lib(cu|nv|nccl)\w*\.so[.\d]*")
CUDA_FUNCTION = re.compile(r"_*(cu|nv|nccl)[A-Za-z]\w*")
NO_DEVICE = 100  # cudaErrorNoDevice


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def dynamic_symbols(library, flag):
    """(name, version or "") of the dynamic symbols."""
    symbols = (line.split()[-1] for line in output("nm", "-D", flag, library).splitlines() if line.strip())
    return {(name, version) for name, _, version in (s.replace("@@", "@").partition("@") for s in symbols)}


def version_files(library):
    """Symbol version -> the library that has to define it."""
    files = {}
    for file, version in re.findall(r"File: (\S+)|  Name: (\S+)", output("readelf", "--wide", "-V", library)):
        current = file or current
        if version:
            files[version] = current
    return files


def write_library(path, version, functions, scratch):
    def labels(of_text):
        return "".join(f".globl {name}\n.type {name}, @function\n{name}:\n" for name in functions
                       if bool(re.search("Error(String|Name)", name)) == of_text)
    source, versions = scratch / "functions.s", scratch / "versions"
    source.write_text(f'''.text
{labels(False)}
    mov ${NO_DEVICE}, %eax
    ret
{labels(True)}
    lea text(%rip), %rax
    ret
.section .rodata
text: .asciz "no CUDA here"
.section .note.GNU-stack,"",@progbits
''')
    versions.write_text(f"{version} {{ global: {' '.join(name + ';' for name in functions)} }};\n")
    script = [f"-Wl,--version-script={versions}"] if version else []
    subprocess.run(["g++", "-shared", "-nostdlib", f"-Wl,-soname,{path.name}", *script, "-o", path, source], check=True)


def main():
    folder = Path(sysconfig.get_paths()["purelib"]) / "torch" / "lib"
    libraries = sorted(folder.glob("lib*.so"))
    if not libraries:
        sys.exit(f"{folder}: no torch here; pip install --no-deps torch comes first")
    done = folder / "cpu_torch.done"
    if done.exists():
        return
    needed, undefined, defined, files = set(), set(), set(), {}
    for library in libraries:
        needed.update(re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-d", library)))
        files.update(version_files(library))
        undefined |= dynamic_symbols(library, "--undefined-only")
        defined |= {name for name, _ in dynamic_symbols(library, "--defined-only")}
    # A function without a version may be found in any of the libraries: those go into the first.
    missing = {name: ("", []) for name in sorted(needed) if CUDA_LIBRARY.fullmatch(name) and not (folder / name).exists()}
    missing.update({file: (version, []) for version, file in files.items() if file in missing})
    first = min(missing)
    for name, version in sorted(undefined):
        file = files.get(version, first)
        if CUDA_FUNCTION.fullmatch(name) and name not in defined and file in missing:
            missing[file][1].append(name)
    with tempfile.TemporaryDirectory() as scratch:
        for name, (version, functions) in missing.items():
            write_library(folder / name, version, functions, Path(scratch))
    done.touch()
    print(f"torch without CUDA: {len(missing)} stand-ins with {sum(len(f) for _, f in missing.values())} functions")


if __name__ == "__main__":
    main()
