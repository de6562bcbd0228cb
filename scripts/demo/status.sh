#!/bin/sh
# Is a network ready for ADD requests?  status.sh NET
#
# These scripts act on the network namespace that you are in, so try them in a throwaway sandbox, as root or not:
#   dist/bin/warren lab shell
# The network there and in conf/lab-status-gc.conflist is "ipam-status"; its store is missing until you make its
# directory: mkdir -p /run/lab/disk. NETCONFPATH, CNI_PATH and WARREN name other folders or another executable.
set -eu

if [ $# -ne 1 ]; then
  echo "Usage: $0 NET" >&2
  exit 1
fi

root=$(cd "$(dirname "$0")/../.." && pwd)
export NETCONFPATH="${NETCONFPATH:-$root/conf}" CNI_PATH="${CNI_PATH:-$root/dist/bin}"
exec "${WARREN:-$root/dist/bin/warren}" status "$1"
