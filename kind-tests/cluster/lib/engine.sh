# The container engine: the machine's own where one answers, else Debian's, started by us with
# everything it has (socket, images, logs) under $STATE.
# shellcheck shell=bash

ENGINE="$STATE/engine"

engine_answers() {
  docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# True where the engine in use was started by us and is ours to stop.
engine_is_ours() {
  [[ -d $ENGINE ]]
}

start_engine() {
  engine_answers && return
  engine_is_ours && say "the container engine has stopped; starting it again"
  install_engine
  use_own_engine
  remember_network
  launch_engine
}

install_engine() {
  require_programs iptables jq ip:iproute2 sysctl:procps
  command -v dockerd >/dev/null && command -v docker >/dev/null && return
  install_packages docker.io
  # Installed for this project alone: not to be started at the next boot either.
  systemctl disable --quiet docker.service docker.socket containerd.service 2>/dev/null || true
}

use_own_engine() {
  require_root "starting a container engine"
  mkdir -p "$ENGINE"
  export DOCKER_HOST="unix://$STATE/docker.sock" DOCKER_BUILDKIT=0
}

launch_engine() {
  local options=(
    --host "$DOCKER_HOST"
    --data-root "$ENGINE/data"
    --exec-root "$ENGINE/run"
    --pidfile "$ENGINE/pid"
  )
  lacks_sys_resource && options+=(
    --add-runtime "within-bounds=$CLUSTER_FOLDER/lib/runc-within-bounds"
    --default-runtime within-bounds
  )
  forget_ended_process "$ENGINE/pid"
  forget_ended_process "$ENGINE/run/containerd/containerd.pid"
  forget_ended_shims
  # Not the descriptors of our locks: the engine outlives this command.
  setsid dockerd "${options[@]}" >>"$ENGINE/log" 2>&1 </dev/null 8>&- 9>&- &
  eventually 60 engine_answers || die "the container engine did not start; see $ENGINE/log"
}

# CAP_SYS_RESOURCE is capability 24.
lacks_sys_resource() {
  local bounds
  bounds=$(awk '$1 == "CapBnd:" {print $2}' /proc/self/status)
  (((16#$bounds >> 24 & 1) == 0))
}

# Stops the engine that we started and removes all it held. Leaves any other engine alone.
remove_engine() {
  engine_is_ours || return 0
  use_own_engine
  if engine_answers; then
    remove_containers_and_networks
    stop_engine
  fi
  restore_network
  unmount_below "$ENGINE"
  rm -rf "$ENGINE" "$STATE/docker.sock"
  # Its cgroups (version 1), empty now. Those of another engine are not, and stay.
  find /sys/fs/cgroup -maxdepth 2 -type d -name docker -exec rmdir {} + 2>/dev/null || true
}

remove_containers_and_networks() {
  docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes >/dev/null
  docker network ls --filter type=custom --quiet | xargs --no-run-if-empty docker network rm >/dev/null
}

stop_engine() {
  local pid
  pid=$(<"$ENGINE/pid")
  kill "$pid"
  eventually 60 process_ended "$pid" || die "the container engine (process $pid) does not stop"
}

# An engine that was killed leaves the numbers of its processes behind, and believes them.
forget_ended_process() { # FILE
  if [[ -e $1 ]] && process_ended "$(<"$1")"; then
    rm "$1"
  fi
}

# A container's shim that was killed leaves its bundle, and over that no other one starts.
forget_ended_shims() {
  local bundle
  for bundle in "$ENGINE"/run/containerd/daemon/io.containerd.runtime.v2.task/moby/*/; do
    [[ -d $bundle ]] || continue
    shim_runs "$(basename "$bundle")" && continue
    unmount_below "${bundle%/}"
    rm -rf "$bundle"
  done
}

shim_runs() { # CONTAINER
  grep --quiet --text --no-messages "containerd-shim.*$1" /proc/[0-9]*/cmdline
}

# Gone, or dead and waiting to be collected by its parent.
process_ended() { # PID
  [[ ! -d /proc/$1 ]] || grep -q '^State:.Z' "/proc/$1/status"
}

# It leaves its mounts behind too.
unmount_below() { # FOLDER
  local point
  findmnt --list --noheadings --output TARGET | { grep "^$1/" || true; } | sort --reverse |
    while read -r point; do umount --lazy "$point"; done
}
