#!/bin/sh
# Makes the documentation that is made of something else: docs/api.md of the public headers. `make docs` calls it.
set -eu

cd "$(dirname "$0")/.."
headers=
for name in $(cat docs/api-headers.txt); do
    headers="$headers include/celeriac/$name.h"
done
# The list of headers has no spaces in its names.
# shellcheck disable=SC2086
python3 docs/tools/apidoc.py $headers >docs/api.md.new
mv docs/api.md.new docs/api.md
echo "docs/api.md"
