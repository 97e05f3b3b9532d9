#!/usr/bin/env bash
# Entries that break naive unpackers, below /opt/odd.
set -euo pipefail
export PATH=/usr/bin:/usr/sbin
mkdir -p /opt/odd && cd /opt/odd

hard_links() {
  mkdir -p links/from links/to
  echo body >links/from/a && ln links/from/a links/to/b && ln links/from/a links/c
  ln -s ../from/a links/to/symlink && ln -P links/to/symlink links/symlink-again
}

special_files() {
  mknod null c 1 3 && mknod block b 7 200 && mknod minor c 511 70000 && mknod nearly-whiteout c 0 1 && chmod 0666 null
  mkfifo -m 0640 fifo && ln fifo fifo-again && ln null null-again
}

modes_and_attributes() {
  cp /usr/bin/true setuid && chmod 4755 setuid
  cp /usr/bin/true setgid && chown 0:4242 setgid && chmod 2755 setgid
  mkdir sticky && chmod 1777 sticky
  echo none >no-mode && chmod 0000 no-mode
  mkdir closed && echo inside >closed/file && chmod 0000 closed
  cp /usr/bin/true capable && setcap cap_net_admin=ep capable
  : >large-owner && chown 4294967294:4294967294 large-owner
  : >mapped-owner && chown 3000000:3000001 mapped-owner
}

names() {
  mkdir -p 'unicode/żółć/日本語/🎉' && echo u >'unicode/żółć/日本語/🎉/ファイル.txt' && ln -s 'żółć/日本語' 'unicode/リンク'
  printf x >"$(printf 'unicode/decomposed-e\xcc\x81')"
  printf x >"$(printf 'unicode/composed-\xc3\xa9')"
  printf x >"$(printf 'unicode/latin1-\xe9\xff')"
  local name
  for name in $'new\nline' 'back\slash' ' spaces ' -dash $'tab\ttab' $'quote\'"$(x)' '*glob?[a]' ..dots ... 'inner.wh.name' 'wh.' 'per%20cent' 'a=b' '#'; do
    printf x >"./$name"
  done
  local length
  for length in 99 100 101 155 156 255; do printf x >"$(printf "n%0$((length - 1))d" 0)"; done
}

long_paths() {
  local path=long i deep=deep
  for i in 1 2 3 4; do path=$path/$(printf 'part%02d-%070d' "$i" 0); done
  mkdir -p "$path" && echo deep >"$path/file"
  ln links/from/a "$path/a-again" && ln "$path/file" links/long-again
  ln -s "$(printf 'target-%0200d' 0)" long-target
  for i in $(seq 120); do deep=$deep/d; done
  mkdir -p "$deep" && echo bottom >"$deep/bottom"
}

holes_and_times() {
  truncate -s 8M sparse && printf middle | dd of=sparse bs=1 seek=$((5 * 1024 * 1024)) conv=notrunc status=none
  : >before-epoch && touch -d '1969-07-20T20:17:40Z' before-epoch
  : >epoch && touch -d '1970-01-01T00:00:00Z' epoch
  : >after-2038 && touch -d '2040-01-01T00:00:00Z' after-2038
}

links_that_lead_away() {
  ln -s / to-root && ln -s ../../../../../../etc to-etc && ln -s loop loop && ln -s /opt/odd/links absolute
}

hard_links
special_files
modes_and_attributes
names
long_paths
holes_and_times
links_that_lead_away
