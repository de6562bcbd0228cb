#!/bin/sh
# Removes every attachment of a network but those named.  gc.sh NET [POD[:IFNAME] ...]
#
# The interface is eth0 if not named; naming nobody removes everything. How to try this without touching your
# machine's network: see status.sh.
set -eu

if [ $# -lt 1 ]; then
  echo "Usage: $0 NET [POD[:IFNAME] ...]" >&2
  exit 1
fi

root=$(cd "$(dirname "$0")/../.." && pwd)
export NETCONFPATH="${NETCONFPATH:-$root/conf}" CNI_PATH="${CNI_PATH:-$root/dist/bin}"
exec "${WARREN:-$root/dist/bin/warren}" gc "$@"
