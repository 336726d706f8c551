#!/bin/sh
# install.sh BUILD SOURCE: installs a build into a folder of its own and uses it from there. Fast: nothing is
# compiled but an example. scripts/package-test does the same with Debian packages in a fresh root.
set -eu
build=$1
source=$2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
fail() { echo "install: $1" >&2; exit 1; }

cmake --install "$build" --prefix "$root/usr" >"$root/log" 2>&1 || { cat "$root/log"; exit 1; }
cd "$root/usr"
lib=$(dirname "$(find . -name fovea.pc)")/..

while read -r file; do
    [ -s "$file" ] || fail "$file is missing or empty"
done <<END
bin/fovea
share/applications/fovea.desktop
share/mime/packages/fovea.xml
share/icons/hicolor/scalable/apps/fovea.svg
share/icons/hicolor/16x16/apps/fovea.png
share/icons/hicolor/256x256/apps/fovea.png
share/man/man1/fovea.1.gz
share/bash-completion/completions/fovea
share/zsh/site-functions/_fovea
share/fish/vendor_completions.d/fovea.fish
share/doc/fovea/README.md
share/doc/fovea/copyright
share/doc/fovea/docs/STREAM.md
share/doc/fovea/examples/render_scene.c
share/fovea/models/demo/dit/model.safetensors
share/fovea/scenes/playbot.sog
share/fovea/streams/head.fvv
include/fovea/gs/gs.h
$lib/libfovea.so
$lib/libfovea.a
$lib/cmake/fovea/foveaConfig.cmake
END

# every header stands by itself
export PKG_CONFIG_PATH="$root/usr/$lib/pkgconfig"
flags="-I$root/usr/include/fovea"
for header in $(cd include/fovea && find . -name '*.h'); do
    echo "#include \"$header\"" | cc -std=c11 -fsyntax-only -x c $flags - || fail "$header does not stand by itself"
done

# by pkg-config and by find_package; what is built runs
cc -std=c11 share/doc/fovea/examples/decode_stream.c $(pkg-config --cflags --libs fovea) -o "$root/decode_stream"
LD_LIBRARY_PATH="$root/usr/$lib" "$root/decode_stream" share/fovea/streams/head.fvv 0 "$root/0.ply"
[ -s "$root/0.ply" ] || fail "decode_stream wrote nothing"
cmake -S share/doc/fovea/examples -B "$root/examples" -DCMAKE_PREFIX_PATH="$root/usr" >"$root/log" 2>&1 ||
    { cat "$root/log"; exit 1; }
cmake --build "$root/examples" --target decode_stream >"$root/log" 2>&1 || { cat "$root/log"; exit 1; }

# what desktops and shells read
! command -v desktop-file-validate >/dev/null || desktop-file-validate share/applications/fovea.desktop
if command -v update-mime-database >/dev/null; then
    XDG_DATA_HOME="$root/usr/share" update-mime-database share/mime >"$root/log" 2>&1
    grep -q 'model/x-spz:\*.spz' share/mime/globs || fail "*.spz has no type"
    ! grep -i 'error\|warning' "$root/log" || fail "the MIME types are wrong"
fi
bash -n share/bash-completion/completions/fovea
! command -v zsh >/dev/null || zsh -n share/zsh/site-functions/_fovea
gzip -dc share/man/man1/fovea.1.gz | man -l - >"$root/man" 2>"$root/log" || fail "the man page does not format"
! grep -v 'cannot adjust line' "$root/log" || fail "the man page has mistakes" # long words in narrow columns
grep -q 'EXIT STATUS' "$root/man" || fail "the man page tells of no exit status"

# the program finds what came with it
bin/fovea info share/fovea/scenes/playbot.sog | grep "31,000" >/dev/null
bin/fovea generate "a red ball" --dry-run | grep "17 frames of 64x64" >/dev/null || fail "the bundled model is not found"
echo "install: in order"
