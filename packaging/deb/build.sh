#!/bin/sh
# Makes Debian packages of a build directory: `build.sh BUILD OUT`. They have the prefix that the build was configured with; see `make deb`.
#
#   libceleriac0        the library
#   libceleriac-dev     headers, pkg-config file
#   celeriac            the command, manual page, completions, units, configuration
#   celeriac-hotwords   the example
#
# CELERIAC_DEB_REVISION (-1) stands behind the version, CELERIAC_DEB_COMPRESSION is the level of that. Dependencies are what dpkg-shlibdeps finds. Needs dpkg-dev and meson; no rights, for what is inside belongs to root in any case.
set -eu

build=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
source=$(cd "$(dirname "$0")/../.." && pwd)
version=$(cat "$source/VERSION")${CELERIAC_DEB_REVISION:--1}
arch=$(dpkg --print-architecture)
major=${version%%.*}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

option() {
    meson introspect "$build" --buildoptions | python3 -c '
import json, sys
print(next(option["value"] for option in json.load(sys.stdin) if option["name"] == sys.argv[1]))' "$1"
}

prefix=$(option prefix)
libdir=$prefix/$(option libdir)
stage=$work/stage
DESTDIR=$stage meson install -C "$build" --no-rebuild --quiet --strip

# ---- configuration: below /etc whatever the build was told, for here dpkg keeps what somebody has changed

examples=$prefix/share/doc/celeriac/examples
etc=$stage/etc
mkdir -p "$etc/default" "$etc/logrotate.d" "$etc/celeriac"
if [ -e "$stage$examples/default" ]; then
    mv "$stage$examples/default" "$etc/default/celeriac"
    mv "$stage$examples/logrotate" "$etc/logrotate.d/celeriac"
    mv "$stage$examples/celeryconfig.py" "$etc/celeriac/celeryconfig.py"
fi

# ---- which file is whose: each is moved once, and the last package takes what is left

# move PACKAGE PATH...: files or folders of the stage, where they are there.
move() {
    package=$1
    shift
    for path in "$@"; do
        [ -e "$path" ] || [ -L "$path" ] || continue
        target=$work/$package/${path#"$stage"/}
        mkdir -p "$(dirname "$target")"
        mv "$path" "$target"
    done
}

move "libceleriac$major" "$stage$libdir"/libceleriac.so.*
move libceleriac-dev "$stage$libdir/libceleriac.so" "$stage$libdir/pkgconfig" "$stage$prefix/include"
move celeriac-hotwords "$stage$prefix"/bin/hotwords* "$stage$prefix"/lib/celeriac "$stage$prefix"/share/hotwords \
    "$stage$prefix"/share/celeriac "$stage$prefix"/share/doc/celeriac/NOTICE.hotwords
mkdir -p "$stage$prefix/share/doc/celeriac"
cp "$source/docs/guide.md" "$source/docs/settings.md" "$stage$prefix/share/doc/celeriac/"
find "$stage" -type d -empty -delete
mv "$stage" "$work/celeriac"

# ---- the packages

describe() {
    case $1 in
    libceleriac-dev) echo "Celery in C: headers
 What is needed to write tasks and clients that use libceleriac." ;;
    libceleriac*) echo "Celery in C: library
 Sends tasks, runs them and fetches their results, with the messages of Python's
 Celery: on one SQLite file, RabbitMQ or Redis." ;;
    celeriac-hotwords) echo "Celery in C: example
 Task module and client that rank the hot words of players' chat." ;;
    celeriac) echo "Celery in C: worker and commands
 Runs tasks that are written in C beside, or without, Python's Celery. Comes with
 units for systemd and sections for supervisor." ;;
    esac
}

# The shared objects and programs of a package.
binaries() {
    find "$1" -type f \( -name '*.so*' -o -path '*/bin/*' \) | while read -r file; do
        [ "$(head -c 4 "$file" | tail -c 3)" = ELF ] && echo "$file"
    done || true
}

depends() {
    package=$1
    mkdir -p "$work/shlibs/debian"
    printf 'Source: celeriac\n\nPackage: %s\nArchitecture: any\n' "$package" > "$work/shlibs/debian/control"
    printf 'libceleriac %s libceleriac%s (= %s)\n' "$major" "$major" "$version" > "$work/shlibs/debian/shlibs.local"
    found=
    files=$(binaries "$work/$package")
    if [ -n "$files" ]; then
        # One word per file: names of packages hold no spaces.
        found=$(cd "$work/shlibs" && dpkg-shlibdeps -O -l"$work/libceleriac$major$libdir" $files 2> "$work/shlibs/log" |
            sed -n 's/^shlibs:Depends=//p') || { cat "$work/shlibs/log" >&2; exit 1; }
    fi
    case $package in
    libceleriac-dev) echo "libceleriac$major (= $version), libjansson-dev" ;;
    celeriac-hotwords) echo "celeriac (= $version), $found" ;;
    *) echo "$found" ;;
    esac
}

for package in "libceleriac$major" libceleriac-dev celeriac celeriac-hotwords; do
    root=$work/$package
    mkdir -p "$root/DEBIAN" "$root/usr/share/doc/$package"
    cp "$source/packaging/deb/copyright" "$root/usr/share/doc/$package/copyright"
    gzip -9nc "$source/CHANGELOG.md" > "$root/usr/share/doc/$package/changelog.gz"
    if [ "$package" = celeriac ]; then
        for script in postinst prerm postrm; do
            install -m 0755 "$source/packaging/deb/$script" "$root/DEBIAN/$script"
        done
        (cd "$root" && find etc -type f | sed 's|^|/|' | LC_ALL=C sort) > "$root/DEBIAN/conffiles"
    fi
    [ "$package" != "libceleriac$major" ] || echo "activate-noawait ldconfig" > "$root/DEBIAN/triggers"
    find "$root" -path "*/man/*" -name '*.1' -exec gzip -9n {} +
    section=misc
    case $package in
    libceleriac-dev) section=libdevel ;;
    libceleriac*) section=libs ;;
    esac
    {
        printf 'Package: %s\nSource: celeriac\nVersion: %s\nArchitecture: %s\n' "$package" "$version" "$arch"
        printf 'Section: %s\nPriority: optional\nMaintainer: %s\n' "$section" "${DEBFULLNAME:-Celeriac} <${DEBEMAIL:-celeriac@localhost}>"
        printf 'Installed-Size: %s\n' "$(du -sk --exclude=DEBIAN "$root" | cut -f1)"
        needs=$(depends "$package")
        [ -z "$needs" ] || printf 'Depends: %s\n' "$needs"
        printf 'Description: %s\n' "$(describe "$package")"
    } > "$root/DEBIAN/control"
    (cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0r md5sum) > "$root/DEBIAN/md5sums"
    dpkg-deb --root-owner-group -z"${CELERIAC_DEB_COMPRESSION:-6}" --build "$root" "$out/${package}_${version}_$arch.deb" > /dev/null
    echo "$out/${package}_${version}_$arch.deb"
done
