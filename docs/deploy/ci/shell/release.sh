#!/bin/sh
# Signs what docker buildx has pushed, with a signer's key that comes from a secret; needs no terminal.
#
#   TRUSTKIT_CI_REPOSITORY      HOST/repository, or HOST/folder/*: what the publisher's root is pinned for
#   TRUSTKIT_CI_ROOT_KEYS       the ids of the publisher's root keys, with spaces between; or
#   TRUSTKIT_CI_ROOT_FILE       a root file of that one repository
#   TRUSTKIT_CI_ROOT_THRESHOLD  how many of the root keys have to have signed; unset: all
#   TRUSTKIT_CI_USERNAME        who logs in
#   TRUSTKIT_CI_PASSWORD        secret
#   TRUSTKIT_CI_SIGNER_KEY      secret: the signer's encrypted key file, its text, its base64, or where it lies
#   TRUSTKIT_SIGNER_PASSPHRASE  secret: its passphrase
#   TRUSTKIT_CI_METADATA_FILE   what buildx --metadata-file wrote; unset: metadata.json.  Or TRUSTKIT_CI_METADATA: its text
#   TRUSTKIT_CI_REPORTS         where sign.json and verify.json go; unset: trustkit-reports
#   TRUSTKIT_CI_INSTALL         trustkit==VERSION, a wheel, a folder or a requirements.txt with hashes; unset: the PATH's
#   TRUSTKIT_CI_VENV            where to install it; unset: a folder that goes away
set -eu
if [ -n "${TRUSTKIT_CI_INSTALL:-}" ] && [ -z "${TRUSTKIT_CI_VENV:-}" ]; then
    TRUSTKIT_CI_VENV=$(mktemp -d)
    trap 'rm -rf "$TRUSTKIT_CI_VENV"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
fi

# -- install: begin
case ${TRUSTKIT_CI_INSTALL:-} in
    '') set -- ;; # what is on the PATH
    *.txt) set -- --require-hashes --requirement "$TRUSTKIT_CI_INSTALL" ;;
    *==* | */* | *.whl) set -- -- "$TRUSTKIT_CI_INSTALL" ;;
    *) echo "Pin the version of trustkit: $TRUSTKIT_CI_INSTALL has no ==." >&2; exit 2 ;;
esac
if [ "$#" -gt 0 ]; then
    python3 -m venv "$TRUSTKIT_CI_VENV"
    env -u TRUSTKIT_CI_PASSWORD -u TRUSTKIT_CI_SIGNER_KEY -u TRUSTKIT_SIGNER_PASSPHRASE \
        "$TRUSTKIT_CI_VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"
fi
# -- install: end

# -- release: begin
release() (
    set -eu
    umask 077
    refuse() { printf 'release: %s\n' "$1" >&2; exit 2; }
    unset password key passphrase
    password=${TRUSTKIT_CI_PASSWORD:-} key=${TRUSTKIT_CI_SIGNER_KEY:-} passphrase=${TRUSTKIT_SIGNER_PASSPHRASE:-}
    # From here on each secret reaches one process only. A collection is never founded, nor a root believed, by chance.
    unset TRUSTKIT_CI_PASSWORD TRUSTKIT_CI_SIGNER_KEY TRUSTKIT_SIGNER_PASSPHRASE TRUSTKIT_UNSAFE_TRUST_ON_FIRST_USE
    unset TRUSTKIT_ROOT_PASSPHRASE TRUSTKIT_REPOSITORY_PASSPHRASE
    unset DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE
    reports=${TRUSTKIT_CI_REPORTS:-trustkit-reports} step=settings work=
    ended() {
        status=$?
        if [ -n "$work" ]; then
            if [ -s "$work/signed" ]; then cat "$work/signed"; fi
            rm -rf "$work"
        fi
        if [ "$status" -ne 0 ] && [ ! -e "$reports/sign.json" ]; then
            if [ "$status" -gt 6 ]; then told=1; else told=$status; fi
            now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
            printf '{"form": "trustkit report, version 1", "trustkit": "", "command": "sign", "began": "%s", "ended": "%s",
 "status": %d, "references": [], "errors": [{"status": %d, "slug": "failed",
 "message": "The step %s failed; the job log says why.", "hint": null}]}\n' \
                "$now" "$now" "$told" "$told" "$step" >"$reports/sign.json" || true
        fi
    }
    trap ended EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mkdir -p -- "$reports"
    rm -f -- "$reports/sign.json" "$reports/verify.json"
    [ -n "${TRUSTKIT_CI_REPOSITORY:-}" ] || refuse "TRUSTKIT_CI_REPOSITORY is empty: HOST/repository, or HOST/folder/*."
    [ -n "${TRUSTKIT_CI_USERNAME:-}" ] || refuse "TRUSTKIT_CI_USERNAME is empty: who logs in."
    [ -n "$password" ] || refuse "TRUSTKIT_CI_PASSWORD is empty. Does this job get the secret?"
    [ -n "$key" ] || refuse "TRUSTKIT_CI_SIGNER_KEY is empty. Does this job get the secret?"
    [ -n "$passphrase" ] || refuse "TRUSTKIT_SIGNER_PASSPHRASE is empty. Does this job get the secret?"
    if [ -n "${TRUSTKIT_CI_ROOT_FILE:-}" ]; then
        set -- --root "$TRUSTKIT_CI_ROOT_FILE"
    else
        set -f
        set --
        for id in ${TRUSTKIT_CI_ROOT_KEYS:-}; do set -- "$@" --root-key "$id"; done
        set +f
        [ "$#" -gt 0 ] || refuse "Neither TRUSTKIT_CI_ROOT_KEYS nor TRUSTKIT_CI_ROOT_FILE says whom to believe."
        if [ -n "${TRUSTKIT_CI_ROOT_THRESHOLD:-}" ]; then set -- "$@" --threshold "$TRUSTKIT_CI_ROOT_THRESHOLD"; fi
    fi

    work=$(mktemp -d)
    theirs=${DOCKER_CONFIG:-${HOME:-/nonexistent}/.docker}
    export TRUSTKIT_HOME="$work/home" DOCKER_CONFIG="$work/docker"
    mkdir "$DOCKER_CONFIG"
    for folder in certs.d tls; do # the registry's certificates stay known; nobody else's login is used
        if [ -d "$theirs/$folder" ]; then ln -s "$(cd "$theirs/$folder" && pwd)" "$DOCKER_CONFIG/$folder"; fi
    done
    if [ -n "${TRUSTKIT_CI_VENV:-}" ]; then PATH="$TRUSTKIT_CI_VENV/bin:$PATH"; fi
    metadata=${TRUSTKIT_CI_METADATA_FILE:-metadata.json}
    if [ -n "${TRUSTKIT_CI_METADATA:-}" ]; then
        metadata=$work/metadata.json
        printf '%s' "$TRUSTKIT_CI_METADATA" >"$metadata"
    fi

    step=key
    if [ -f "$key" ]; then key=$(cat -- "$key"); fi
    case $key in *BEGIN*) ;; *) key=$(printf '%s' "$key" | base64 -d 2>/dev/null) || key= ;; esac
    key=$(printf '%s\n' "$key" | tr -d '\r')
    printf '%s\n' "$key" | grep -q '^role: signer$' ||
        refuse "TRUSTKIT_CI_SIGNER_KEY is no signer's key file, as text or as its base64."
    printf '%s\n' "$key" | TRUSTKIT_SIGNER_PASSPHRASE=$passphrase trustkit key import - >/dev/null
    step=pin
    trustkit pin add "$@" -- "$TRUSTKIT_CI_REPOSITORY"
    step=login
    printf '%s\n' "$password" | trustkit login -u "$TRUSTKIT_CI_USERNAME" --password-stdin -- "${TRUSTKIT_CI_REPOSITORY%%/*}"
    step=sign
    TRUSTKIT_SIGNER_PASSPHRASE=$passphrase trustkit sign --from-metadata "$metadata" --report "$reports/sign.json" \
        >"$work/signed"
    step=verify
    set --
    while IFS= read -r ref; do set -- "$@" "$ref"; done <"$work/signed"
    if [ "$#" -eq 0 ]; then
        echo "release: nothing is signed yet: others have to approve it, as it says above." >&2
        exit 3
    fi
    trustkit verify --report "$reports/verify.json" -- "$@" >/dev/null
)
# -- release: end

release
