# The steps of .ci/run. Each suite adds to $passed and $failed, and sets $verdict when the run as a whole has failed.

# step NAME COMMAND...: a heading with the time so far, then the command
step() {
  echo "=== $1 (at ${SECONDS} s)"
  shift
  "$@"
}

# need NAME COMMAND...: a step without which no other one can run
need() {
  step "$@" && return
  echo '0 passed, 1 failed'
  exit 1
}

# check NAME COMMAND...: a step that counts as one test; what comes after it runs all the same
check() {
  if step "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    verdict=1
  fi
}

install_tools() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get install -q -y --no-install-recommends acl attr buildah busybox-static bzip2 docker.io e2fsprogs fish fuse-overlayfs jq libarchive-tools libcap2-bin libdeflate0 libisal2 mount pigz podman \
    python3 skopeo strace umoci util-linux xz-utils zsh zstd
}

run_tests() {
  local skips=allowed
  # Only there is what the shared archives are needed for; without it those tests skip, and say so.
  if [ -d "$shared" ]; then skips=refused; fi
  IMGTOOL_FUZZ_RUNS=200 run_suite "$skips" npm test -- --tap
}

# The same tests as somebody without any privilege, in a copy that belongs to them; what needs root may skip there.
run_tests_as_nobody() {
  local copy=$work/nobody
  mkdir -p "$copy/tmp"
  chmod 711 "$work"
  cp -a "$checkout" "$copy/imgtool"
  chown -R nobody: "$copy"
  cd "$copy/imgtool"
  TMPDIR=$copy/tmp run_suite allowed setpriv --reuid nobody --regid nogroup --clear-groups env HOME="$copy" \
    npm_config_cache="$copy/cache" npm test -- --tap
  cd "$checkout"
}

run_interop_tests() {
  mkdir -p "$work/tmp"
  IMGTOOL_INTEROP=1 TMPDIR=$work/tmp run_suite refused npm run test:interop -- --tap
}

# run_suite allowed|refused COMMAND...: a suite that prints TAP; says whether it may skip tests
run_suite() {
  local skips=$1 tap=$work/suite.tap status=0 good bad skipped
  shift
  "$@" | tee "$tap" || status=$?
  good=$(grep -E '^ok ' "$tap" | grep -vcE '# SKIP$' || true)
  bad=$(grep -E '^not ok ' "$tap" | grep -vcE '# TODO$' || true)
  skipped=$(grep -cE '^(not )?ok .* # (SKIP|TODO)$' "$tap" || true)
  # What fails outside of any test, such as a wrong type, has no line of its own; and a suite without tests shows nothing.
  if [ "$bad" -eq 0 ] && { [ "$status" -ne 0 ] || [ "$good" -eq 0 ]; }; then bad=1; fi
  if [ "$skips" = refused ] && [ "$skipped" -gt 0 ]; then
    echo 'skipped, though nothing may be skipped here:'
    grep -E ' # (SKIP|TODO)$' "$tap"
    bad=$((bad + skipped))
  fi
  passed=$((passed + good))
  failed=$((failed + bad))
  if [ "$bad" -gt 0 ]; then verdict=1; fi
}

# run_harness NAME ARGUMENTS...: tries that end with their own sum, on file systems of their own
run_harness() {
  local output=$work/harness.txt status=0 name=$1 sum
  shift
  mkdir -p "$work/tmp"
  TMPDIR=$work/tmp npm run --silent "test:$name" -- "$@" | tee "$output" || status=$?
  sum=$(tail -n 1 "$output")
  if [[ $sum =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
    passed=$((passed + BASH_REMATCH[1]))
    failed=$((failed + BASH_REMATCH[2]))
  else
    failed=$((failed + 1))
    status=1
  fi
  if [ "$status" -ne 0 ]; then verdict=1; fi
}

# Stops what a killed test left running, and takes away everything this run has mounted and written.
clean_up() {
  set +e
  local pid_file pid
  for pid_file in "$work"/tmp/*/dockerd/dockerd.pid; do
    [ -e "$pid_file" ] || continue
    pid=$(cat "$pid_file")
    if grep -qsF "$work" "/proc/$pid/cmdline"; then kill "$pid" && timeout 20 tail --pid="$pid" -f /dev/null; fi
  done
  awk -v dir="$work/" 'index($2, dir) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount -l
  rm -rf --one-file-system "$work"
}
