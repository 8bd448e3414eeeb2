#!/bin/sh
# ssh_to_namespace.sh HOST COMMAND…: as `ssh HOST COMMAND…`, where HOST is a network namespace; for mpirun's plm_rsh_agent.
# shellcheck disable=SC2016  # expands on the "host"
host=$1
shift
exec ip netns exec "$host" unshare --uts sh -c 'hostname "$0" && eval "exec $*"' "$host" "$@"
