#!/usr/bin/env bash
# Submit one job to a running Ray cluster, follow its log, exit with 1 if it fails.
#
#   cluster/submit.sh [OPTION OF ray job submit]... JOB ARGUMENTS...
#
#   cluster/submit.sh embed s3://bucket/videos --output s3://bucket/embeddings
#   cluster/submit.sh train s3://bucket/embeddings --output s3://bucket/mapper
#   cluster/submit.sh --no-wait generate s3://bucket/videos --mapper s3://bucket/mapper --output s3://bucket/soundtracks
#   cluster/submit.sh --submission-id quality evaluate s3://bucket/soundtracks --output s3://bucket/metrics
#
# JOB and ARGUMENTS are those of `v2a`. Paths must be absolute or URIs that every machine of the cluster can read.
#
# The cluster is RAY_API_SERVER_ADDRESS (default http://127.0.0.1:8265). Ray reads the token from ~/.ray/auth_token,
# RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN. With V2A_RAYCLUSTER=NAME it is that RayCluster of Kubernetes instead, in
# V2A_NAMESPACE (default v2a): kubectl reads its token and forwards a port of this machine (V2A_PORT, default 8265) to it.
set -euo pipefail

JOBS="embed train generate evaluate"
# Options of `ray job submit` that take no value; with any other one the next word is its value.
SWITCHES=" --no-wait --verbose -v --help "

usage() {
    echo "usage: cluster/submit.sh [OPTION OF ray job submit]... ${JOBS// /|} ARGUMENTS..." >&2
    exit 2
}

options=()
while [[ "${1:-}" == -* ]]; do
    [[ "$1" == --help || "$1" == -- ]] && usage
    options+=("$1")
    if [[ "$1" != *=* && "$SWITCHES" != *" $1 "* ]]; then
        [[ $# -ge 2 ]] || usage
        options+=("$2")
        shift
    fi
    shift
done
if [[ " $JOBS " != *" ${1:-} "* ]]; then
    [[ $# -eq 0 ]] || echo "submit.sh: '$1' is no job for a cluster" >&2
    usage
fi

# Ray joins the words and gives them to a shell of the head: what is special to it is marked, so that an address with `&`
# arrives whole. Ray itself puts words with blanks into double quotes.
words=()
for word in "$@"; do
    if [[ "$word" == *[[:space:]]* ]]; then
        word="${word//\\/\\\\}" word="${word//\$/\\\$}" word="${word//\`/\\\`}"
    else
        word="$(sed 's/[][!#$&'"'"'()*;<=>?\\^`{|}~]/\\&/g' <<< "$word")"
    fi
    words+=("$word")
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."  # working_dir in runtime-env.yaml is relative to here
export PATH="$PWD/.venv/bin:$PATH"
export RAY_AUTH_MODE="${RAY_AUTH_MODE:-token}"
# runtime-env.yaml says what travels. Ray would read the .gitignore of every cache beside it, several times, and tell.
export RAY_RUNTIME_ENV_IGNORE_GITIGNORE=1

forward=""
end() {
    rm -f v2a_core/commit.txt
    [[ -z "$forward" ]] || kill "$forward" 2> /dev/null || true
}
trap end EXIT

if [[ -n "${V2A_RAYCLUSTER:-}" ]]; then
    place=(--namespace "${V2A_NAMESPACE:-v2a}")
    # KubeRay keeps the token in a Secret of the cluster's name, and names the head's service after it.
    token="$(kubectl get secret "$V2A_RAYCLUSTER" "${place[@]}" --output 'jsonpath={.data.auth_token}')"
    RAY_AUTH_TOKEN="$(base64 --decode <<< "$token")"
    export RAY_AUTH_TOKEN
    port="${V2A_PORT:-8265}"
    kubectl port-forward "service/$V2A_RAYCLUSTER-head-svc" "$port:8265" --address 127.0.0.1 "${place[@]}" > /dev/null &
    forward=$!
    export RAY_API_SERVER_ADDRESS="http://127.0.0.1:$port"
    for _ in {1..50}; do  # ten seconds
        (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null && break
        kill -0 "$forward" 2> /dev/null || { echo "submit.sh: kubectl port-forward has ended" >&2; exit 1; }
        sleep 0.2
    done
fi

# History does not travel, the commit does: manifests of outputs name it.
{ git describe --always --dirty --exclude='*' --abbrev=12 > v2a_core/commit.txt; } 2> /dev/null || true
ray job submit \
    --address "${RAY_API_SERVER_ADDRESS:-http://127.0.0.1:8265}" \
    --runtime-env cluster/runtime-env.yaml \
    ${options[@]+"${options[@]}"} \
    -- v2a "${words[@]}"
