# Container images: is it here, can it be pulled, build it.
# shellcheck shell=bash

# On every image that we build under a name outside of piavpn-dev/: a hash of what it was made of.
# `down --all` knows our images by it.
INPUTS_LABEL=piavpn.dev/inputs

image_exists() { # IMAGE
  docker image inspect "$1" >/dev/null 2>&1
}

# Gives up within seconds where no registry can be reached.
pull_image() { # IMAGE
  registry_answers && docker pull --quiet "$1" >/dev/null 2>&1
}

# Any HTTP answer will do: the registry asks for a token first.
registry_answers() {
  curl --silent --output /dev/null --max-time 4 https://registry-1.docker.io/v2/
}

# Prints what the image was made of; nothing where it is missing or not ours.
inputs_of() { # IMAGE
  docker image inspect --format "{{index .Config.Labels \"$INPUTS_LABEL\"}}" "$1" 2>/dev/null || true
}

# Builds FOLDER/DOCKERFILE with FOLDER as its context.
build_image() { # NAME FOLDER DOCKERFILE OPTION...
  local name="$1" folder="$2" dockerfile="$3" log
  shift 3
  log="$STATE/logs/image-$(basename "${name%:*}").log"
  say "building image $name; log: $log"
  logged "$log" docker build --tag "$name" --file "$folder/$dockerfile" "$@" "$folder"
}
