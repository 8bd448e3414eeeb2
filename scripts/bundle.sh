#!/usr/bin/env bash
# One archive that runs in any folder of a bare Linux host (glibc of the build host or newer), without root:
#   scripts/bundle.sh TRAIN ARCHIVE.tar.zst        `make bundle` builds first and writes build/tessera-….tar.zst
# Inside: train, mpirun (bin/), Open MPI's plugins and help texts, every shared library beside glibc (lib/),
# the notices of what is packed (licenses/), examples.  Where it was built, the GPU part too: libtessera_cuda.so (lib/), its
# tests and benchmark (libexec/).  CUDA's libraries, 1.3 GB, come along with BUNDLE_CUDA=1 alone; else the hosts have them.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# = 2 ] || { sed -n '2,6s/^# *//p' "$0" >&2; exit 2; }
train=$(realpath "$1")
gpu_part=$(dirname "$train")/libtessera_cuda.so
archive=$(realpath -m "$2")

for tool in patchelf zstd ompi_info strip; do
  command -v $tool >/dev/null || { echo "bundle: no $tool here; scripts/setup.sh installs it" >&2; exit 1; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/tessera
mkdir -p "$root"/{bin,lib,libexec,etc,licenses} "$(dirname "$archive")"

# Of the host: glibc, because it belongs to the kernel and to ld.so.
of_the_host='^(ld-linux.*|lib(c|m|dl|pthread|rt|resolv|util|anl|mvec|nsl|nss_.*))\.so'
of_cuda='^lib(cublasLt|cudnn.*|nccl|nvrtc.*)\.so'
# Open MPI's plugins beyond TCP and shared memory: fabrics, OpenSHMEM, MPI-IO, monitoring.
plugins_left_out='^mca_((atomic|memheap|scoll|spml|sshmem|io|fbtl|fcoll|fs|sharedfp)_.*|.*_(ucx|ofi|openib|usnic|psm2?|monitoring|netlink|gridengine|simulator))\.so$'

mpi() { ompi_info --parsable --path "$1" | sed -n '1s/.*://p'; }
prefix=$(mpi prefix)
plugins=$(mpi pkglibdir)
own_plugins=$root/${plugins#"$prefix"/}
own_data=$root/$(mpi pkgdatadir | sed "s:^$prefix/::")

# copy FILE FOLDER: and remember where it came from
copy() {
  cp -L "$1" "$2/"
  realpath "$1" >>"$work/sources"
}

# Not libcuda.so.1, which belongs to the driver of a host.
libraries_of() {
  ldd "$@" | awk '$2 == "=>" && $3 == "not" && $1 != "libcuda.so.1" {print "bundle: " $1 " is missing" >"/dev/stderr"}
                  $2 == "=>" && $3 ~ "^/" && $1 != "libcuda.so.1" {print $3}' | sort -u
}

# What CUDA's libraries open by name while they run lies beside them: the parts of cuDNN, NVRTC's built-in functions.
cuda_libraries() {
  while read -r library; do
    [[ $(basename "$library") =~ $of_cuda ]] || continue
    echo "$library"
    case $(basename "$library") in
      libcudnn.so.*) ls "$(dirname "$library")"/libcudnn_*.so."${library##*.so.}" ;;
      libnvrtc.so.*) ls "$(dirname "$library")"/libnvrtc-builtins.so."${library##*.so.}"* ;;
    esac
  done < <(libraries_of "$gpu_part")
}

cp "$train" "$root/train"
copy "$(command -v orterun)" "$root/libexec"
mv "$root/libexec/orterun" "$root/libexec/mpirun"
copy "$(command -v orted)" "$root/libexec"
mkdir -p "$own_plugins" "$own_data"
for plugin in "$plugins"/mca_*.so; do
  [[ $(basename "$plugin") =~ $plugins_left_out ]] || copy "$plugin" "$own_plugins"
done
cp -r "$(mpi pkgdatadir)"/help-*.txt "$own_data/"
if [ -e "$gpu_part" ]; then
  cp "$gpu_part" "$root/lib/"
  cp "$(dirname "$train")"/{test_cuda,bench_kernels} "$root/libexec/"
fi

while read -r library; do
  name=$(basename "$library")
  [[ $name =~ $of_the_host || $name =~ $of_cuda ]] && continue
  [ -e "$root/lib/$name" ] || copy "$library" "$root/lib"
done < <(libraries_of "$root"/train "$root"/libexec/* "$root"/lib/*.so "$own_plugins"/*.so)

# The programs' DT_RPATH serves all that they load, as long as no library has a path of its own.  The GPU part has one,
# which LD_LIBRARY_PATH goes before.
chmod -R u+w "$root"
strip "$root"/train "$root"/libexec/*
find "$root" -name '*.so*' -type f -exec patchelf --remove-rpath {} \;
patchelf --force-rpath --set-rpath "\$ORIGIN/lib" "$root/train"
patchelf --force-rpath --set-rpath "\$ORIGIN/../lib" "$root"/libexec/*
if [ -e "$gpu_part" ]; then
  strip --strip-unneeded "$root/lib/libtessera_cuda.so"
  patchelf --set-rpath "\$ORIGIN:/usr/local/cuda/lib64" "$root/lib/libtessera_cuda.so"
fi
if [ "${BUNDLE_CUDA:-0}" = 1 ]; then  # as NVIDIA made them: each looks for the others in its own folder
  [ -e "$gpu_part" ] || { echo "bundle: BUNDLE_CUDA=1, but this build has no GPU part" >&2; exit 1; }
  while read -r library; do copy "$library" "$root/lib"; done < <(cuda_libraries)
  echo "cuBLASLt, NVRTC, cuDNN and NCCL in lib/ are NVIDIA's, under the licence agreements of the CUDA Toolkit, of cuDNN and of
NCCL; those say how they may be passed on." >"$root/licenses/NVIDIA"
fi

cat >"$root/bin/mpirun" <<'END'
#!/bin/sh
# Open MPI's program of this name, out of the folder that this file lies in.  On other hosts mpirun looks for bin/orted at
# the same path.
case $0 in */*) bin=${0%/*} ;; *) bin=$(command -v "$0") && bin=${bin%/*} ;; esac
OPAL_PREFIX=$(cd "$bin/.." && pwd) || exit 1
OPAL_SYSCONFDIR=$OPAL_PREFIX/etc
HWLOC_PLUGINS_PATH=$OPAL_PREFIX/lib/hwloc  # not those of the host
PATH=$PATH:$OPAL_PREFIX/bin
export OPAL_PREFIX OPAL_SYSCONFDIR HWLOC_PLUGINS_PATH PATH
case ${0##*/} in
  orted) exec "$OPAL_PREFIX/libexec/orted" "$@" ;;
  *) exec "$OPAL_PREFIX/libexec/mpirun" --prefix "$OPAL_PREFIX" "$@" ;;
esac
END
chmod +x "$root/bin/mpirun"
cp "$root/bin/mpirun" "$root/bin/orted"
cat >"$root/bin/no-ssh" <<'END'
#!/bin/sh
# In place of an ssh that this host does not have; mpirun wants some such program even where it starts nothing elsewhere.
echo "mpirun: this host has no ssh to reach $1 with" >&2
exit 1
END
chmod +x "$root/bin/no-ssh"

cat >"$root/etc/openmpi-mca-params.conf" <<'END'
# Messages between ranks go over TCP and shared memory.
pml = ob1
btl = self,vader,tcp
plm_rsh_agent = ssh : rsh : no-ssh
# A host that falls silent is noticed within a minute.
oob_tcp_keepalive_time = 20
oob_tcp_keepalive_intvl = 5
oob_tcp_keepalive_probes = 3
END
echo '# Hosts for mpirun without -hostfile: none, so this one alone.' >"$root/etc/openmpi-default-hostfile"

# Debian keeps the notices of a package in /usr/share/doc/PACKAGE/copyright.
cp LICENSE "$root/"
if command -v dpkg-query >/dev/null; then
  while read -r source; do
    { dpkg-query -S "$source" "${source#/usr}" 2>/dev/null || true; } | sed -n '1s/:.*//p'
  done < <(sort -u "$work/sources") | sort -u >"$work/packages"
  while read -r package; do
    cp -L "/usr/share/doc/$package/copyright" "$root/licenses/$package"
    dpkg-query -W -f '${Package} ${Version}\n' "$package"
  done <"$work/packages" >"$root/licenses/PACKAGES"
fi
cp -r README.md docs hostfiles "$root/"
mkdir "$root"/{jobs,scripts}
cp jobs/example.ini "$root/jobs/"
cp scripts/slurm.sbatch "$root/scripts/"
if [ -e "$gpu_part" ]; then  # what scripts/gpu-check runs
  cp -r scripts/{gpu-check,gpu_check,compare_metrics.py,reference_cases.py} "$root/scripts/"
  mkdir -p "$root/test/data"
  cp -r test/e2e "$root/test/"
  cp -r test/data/reference "$root/test/data/"
  find "$root" -name __pycache__ -prune -exec rm -r {} +
fi
if commit=$(git rev-parse --short HEAD 2>/dev/null); then echo "$commit" >"$root/COMMIT"; fi

tar -C "$work" --owner=0 --group=0 --numeric-owner --sort=name -cf - tessera | zstd -q -f -12 -T0 -o "$archive"
echo "$archive: $(du -m "$archive" | cut -f1) MiB, $(du -sm "$root" | cut -f1) MiB unpacked"
