#!/usr/bin/env bash
# base.sh DIR: the lowest layer, with what the layers above remove, replace, and link to.
set -euo pipefail
mkdir -p "$1" && cd "$1"

mkdir -p bin etc mnt usr tmp opt && chmod 1777 tmp
cp /bin/busybox bin/busybox
# The mounted /usr of the odd entries is reached through these.
ln -s usr/lib lib && ln -s usr/lib64 lib64
printf 'root:x:0:0::/:/bin/sh\n' >etc/passwd

mkdir -p srv/data/a/b/c srv/data/keep srv/opaque/inner srv/gone/x/y srv/same srv/attributes
for i in 1 2 3 4 5; do
  echo "f$i" >"srv/data/a/f$i"
  echo "g$i" >"srv/data/a/b/g$i"
  echo "h$i" >"srv/opaque/h$i"
  echo "i$i" >"srv/opaque/inner/i$i"
  echo "z$i" >"srv/gone/x/y/z$i"
  echo "same" >"srv/same/$i"
done
echo shared >srv/data/hard-one
ln srv/data/hard-one srv/data/keep/hard-two
ln srv/data/hard-one srv/data/a/hard-three

# One entry for every change of type: swap/FROM-TO
mkdir srv/swap && cd srv/swap
for to in directory link fifo nothing; do echo file >"file-$to"; done
for to in file link fifo nothing; do mkdir -p "directory-$to/inner" && echo inner >"directory-$to/inner/file"; done
for to in file directory fifo nothing; do ln -s ../data "link-$to"; done
for to in file directory link nothing; do mkfifo "fifo-$to"; done
cd ../..

echo user >srv/attributes/user && setfattr -n user.note -v 'a value' srv/attributes/user && setfattr -n user.binary -v 0x00ff0a3d00 srv/attributes/user
setfattr -n user.empty -v '' srv/attributes/user
mkdir srv/attributes/directory && setfattr -n user.note -v directory srv/attributes/directory
cp bin/busybox srv/attributes/capable && setcap cap_net_raw,cap_net_bind_service+ep srv/attributes/capable
touch -d '2013-06-13T14:03:50.821769123Z' srv/same/1
touch -h -d '2013-06-13T14:03:50.000000001Z' srv/swap/link-nothing
touch -d '2001-09-09T01:46:40.999999999Z' srv/same
