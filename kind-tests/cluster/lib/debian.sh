# The Debian 12 root file system that our images start from.
# shellcheck shell=bash

DEBIAN_OFFICIAL=debian:bookworm-slim
DEBIAN_OWN=piavpn-dev/debian:bookworm

# Prints the name of an image with Debian 12 in it: the official one where it can be pulled,
# otherwise one made from Debian's packages. Safe to call from two scripts at once.
debian_base() {
  (
    flock 8
    if image_exists "$DEBIAN_OFFICIAL"; then
      echo "$DEBIAN_OFFICIAL"
    elif image_exists "$DEBIAN_OWN"; then
      echo "$DEBIAN_OWN"
    elif pull_image "$DEBIAN_OFFICIAL"; then
      echo "$DEBIAN_OFFICIAL"
    else
      make_debian_base
      echo "$DEBIAN_OWN"
    fi
  ) 8>"$STATE/debian.lock"
}

make_debian_base() {
  require_programs mmdebstrap
  require_root "making a Debian root file system"
  say "making a Debian 12 root file system; log: $STATE/logs/debian.log"
  local archive="$STATE/debian.tar"
  logged "$STATE/logs/debian.log" mmdebstrap --variant=minbase --include=ca-certificates \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    bookworm "$archive"
  docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'CMD ["bash"]' "$archive" "$DEBIAN_OWN" >/dev/null
  rm "$archive"
}
