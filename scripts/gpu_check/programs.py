"""Where the programs lie: beside scripts/ in a bundle, or in build/release of a checkout."""
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
END_TO_END = ROOT / "test" / "e2e"


@dataclass
class Programs:
    """A path may lead nowhere: the stage that needs it says so."""
    train: Path
    mpirun: Path
    test_cuda: Path
    test_kernels: Path
    bench_kernels: Path


def find_programs(arguments):
    """The bundle's or the build's, unless options name others."""
    in_bundle = (ROOT / "libexec").is_dir()
    train = arguments.train or (ROOT / "train" if in_bundle else ROOT / "build" / "release" / "train")
    folder = Path(train).resolve().parent
    others = ROOT / "libexec" if in_bundle else folder
    own_mpirun = folder / "bin" / "mpirun"
    return Programs(train=Path(train).resolve(),
                    mpirun=own_mpirun if own_mpirun.exists() else Path(shutil.which("mpirun") or "mpirun"),
                    test_cuda=Path(arguments.test_cuda or others / "test_cuda").resolve(),
                    test_kernels=folder / "test" / "test_kernels",
                    bench_kernels=Path(arguments.bench_kernels or others / "bench_kernels").resolve())


def commit():
    """Of the sources; None where neither the bundle's file COMMIT nor git tells."""
    if (ROOT / "COMMIT").exists():
        return (ROOT / "COMMIT").read_text().strip()
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        return None
    done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or None


def script(name, *arguments):
    """The command line of a test of test/e2e."""
    return [sys.executable, END_TO_END / f"{name}.py", *arguments]
