#!/bin/sh
# Makes the pictures of the screens in docs/ from a real run on virtual tokens.
# It needs chromium and the font DejaVu Sans Mono.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PICTURES="$work" ${GO:-go} test -count=1 -run '^TestPictures$' ./cmd/rootceremony
for page in "$work"/*.html; do
	name=$(basename "$page" .html)
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" \
		--window-size=795,480 --screenshot="$PWD/docs/screen-$name.png" "file://$page" 2>/dev/null
done
