#!/bin/sh
# Run by `meson install`: FILE, FOLDER below the prefix. Copies the completions of bash to FOLDER/celeriac.
set -eu

mkdir -p "$MESON_INSTALL_DESTDIR_PREFIX/$2"
cp "$1" "$MESON_INSTALL_DESTDIR_PREFIX/$2/celeriac"
chmod 644 "$MESON_INSTALL_DESTDIR_PREFIX/$2/celeriac"
