#!/usr/bin/env bash
# Submit one job to a running Ray cluster, follow its log, exit with 1 if it fails.
#
#   cluster/submit.sh [OPTION OF ray job submit]... JOB ARGUMENTS...
#
#   cluster/submit.sh embed s3://bucket/videos --output s3://bucket/embeddings
#   cluster/submit.sh --no-wait generate s3://bucket/videos --mapper s3://bucket/mapper --output s3://bucket/soundtracks
#
# JOB and ARGUMENTS are those of `v2a`. Paths must be absolute or URIs that every machine of the cluster can read.
# The cluster is RAY_API_SERVER_ADDRESS (default http://127.0.0.1:8265). Ray reads the token from ~/.ray/auth_token,
# RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN.
set -euo pipefail

options=()
while [[ "${1:-}" == -* ]]; do
    options+=("$1")
    shift
done
if [[ $# -eq 0 ]]; then
    echo "usage: cluster/submit.sh [OPTION OF ray job submit]... embed|train|generate ARGUMENTS..." >&2
    exit 2
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."  # working_dir in runtime-env.yaml is relative to here
export PATH="$PWD/.venv/bin:$PATH"
export RAY_AUTH_MODE="${RAY_AUTH_MODE:-token}"
# runtime-env.yaml says what travels. Ray would read the .gitignore of every cache beside it, several times, and tell.
export RAY_RUNTIME_ENV_IGNORE_GITIGNORE=1
# History does not travel, the commit does: manifests of outputs name it.
trap 'rm -f v2a_core/commit.txt' EXIT
{ git describe --always --dirty --exclude='*' --abbrev=12 > v2a_core/commit.txt; } 2> /dev/null || true
ray job submit \
    --address "${RAY_API_SERVER_ADDRESS:-http://127.0.0.1:8265}" \
    --runtime-env cluster/runtime-env.yaml \
    ${options[@]+"${options[@]}"} \
    -- v2a "$@"
