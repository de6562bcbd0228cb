#!/bin/sh
# Attaches a pod with an address of your choice.  add-ns.sh NET POD IP [IFNAME]
#
# Makes the pod's network namespace if it is missing, and keeps it, so that you can look inside. The address needs no
# prefix length: the pool has it. How to try this without touching your machine's network: see status.sh.
set -eu

if [ $# -lt 3 ] || [ $# -gt 4 ]; then
  echo "Usage: $0 NET POD IP [IFNAME]" >&2
  exit 1
fi

root=$(cd "$(dirname "$0")/../.." && pwd)
export NETCONFPATH="${NETCONFPATH:-$root/conf}" CNI_PATH="${CNI_PATH:-$root/dist/bin}"
warren="${WARREN:-$root/dist/bin/warren}"

"$warren" lab netns "$2"
CNI_ARGS="IgnoreUnknown=true;IP=$3" exec "$warren" add "$1" "$2" --ifname "${4:-eth0}"
