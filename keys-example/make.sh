#!/bin/sh
# Makes the three throw-away keys in this folder anew, printing each command and then running it.
# Their passphrase is public. Never sign anything that anybody relies on with them.
set -eu
cd "$(dirname "$0")"
if ls ./keys/*.pem >/dev/null 2>&1; then
    echo "There are keys already; remove $(pwd)/keys first." >&2
    exit 1
fi
run() {
    echo "+ $*"
    "$@"
}
TRUSTKIT_HOME="$(pwd)"
export TRUSTKIT_HOME
echo "+ printf '%s' not-a-secret > passphrase.txt"
printf '%s' not-a-secret > passphrase.txt
run trustkit key generate --role root --passphrase-file passphrase.txt
run trustkit key generate --role repository --gun registry.example.com/app --passphrase-file passphrase.txt
run trustkit key generate --role signer --name alice --passphrase-file passphrase.txt
run trustkit key list
