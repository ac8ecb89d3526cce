# kind's configuration: two nodes, and what this machine's kernel and capabilities ask for.
# shellcheck shell=bash

kind_config() {
  cat <<'YAML'
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
- role: worker
YAML
  kubelet_patch
  containerd_patch
}

cgroup_v1() {
  [[ $(docker info --format '{{.CgroupVersion}}') == 1 ]]
}

# Told to, the kubelet still works on cgroup v1, with cgroups of its own making.
kubelet_patch() {
  cgroup_v1 || return 0
  cat <<'YAML'
kubeadmConfigPatches:
- |
  kind: KubeletConfiguration
  failCgroupV1: false
  cgroupDriver: cgroupfs
YAML
}

# The cgroup driver has to be the kubelet's; and without CAP_SYS_RESOURCE no OOM score can be
# lowered, as static pods want.
containerd_patch() {
  local systemd_cgroup=true restrict_oom_score=false
  cgroup_v1 && systemd_cgroup=false
  engine_is_ours && lacks_sys_resource && restrict_oom_score=true
  cat <<YAML
containerdConfigPatches:
- |
  [plugins."io.containerd.grpc.v1.cri"]
    restrict_oom_score_adj = $restrict_oom_score
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    SystemdCgroup = $systemd_cgroup
YAML
}
