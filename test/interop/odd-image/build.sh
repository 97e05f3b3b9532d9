#!/usr/bin/env bash
# build.sh NAME WORK: build an image with everything that trips unpackers, by the dockerd of $DOCKER_HOST; WORK is a scratch folder.
#
# The base is imported, so that its tar is kept byte for byte: sub-second times and user.* attributes come from there. Most layers are RUN
# steps of busybox. The odd entries need real tools, which are only mounted: the layer holds nothing of them.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=$1
work=$2
export DOCKER_BUILDKIT=0

docker() {
  /usr/bin/docker "$@"
}

import_base() {
  bash "$here/base.sh" "$work/base"
  tar -C "$work/base" --format=pax --sort=name --numeric-owner --xattrs --xattrs-include='*' -cf "$work/base.tar" .
  docker import "$work/base.tar" odd:base >/dev/null
}

commit_odd_entries() {
  local container
  container=$(docker create --network none --volume /usr:/usr:ro --volume "$here:/mnt:ro" odd:changed /usr/bin/bash /mnt/odd.sh)
  docker start --attach "$container"
  docker commit "$container" odd:entries >/dev/null
  docker rm "$container" >/dev/null
}

import_base
docker build --quiet --network none --tag odd:changed - <"$here/changed.Dockerfile" >/dev/null
commit_odd_entries
docker build --quiet --network none --tag "$name" - <"$here/last.Dockerfile" >/dev/null
