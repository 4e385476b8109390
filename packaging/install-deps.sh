#!/bin/sh
# Installs the Debian packages that are missing for what is asked: `install-deps.sh build`, `install-deps.sh servers` (RabbitMQ
# and Redis, too) or `install-deps.sh test` (which includes both). Does nothing, and needs no rights, where all are there.
set -eu

what=${1:-test}
list=$(dirname "$0")/debian-packages.txt
missing=

for package in $(awk -v what="$what" '!/^#/ && ($2 == "build" || $2 == what || what == "test") {print $1}' "$list"); do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "installing:$missing"
run=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "please install as root:$missing" >&2; exit 1; }
    run=sudo
fi
export DEBIAN_FRONTEND=noninteractive
install() { $run apt-get install -y --no-install-recommends -qq $missing >/dev/null; }
install 2>/dev/null || { $run apt-get update -qq && install; }
