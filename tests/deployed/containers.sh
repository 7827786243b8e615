#!/usr/bin/env bash
# docs/deploy's container file and compose file, as they are, run by a real docker and docker-compose.
#
#   sudo tests/deployed/containers.sh [FOLDER]
#
# Takes about five minutes, twelve with Debian, and a network, so it is no test of every day: tests/real/test_containers.py is.  Run it when
# one of these files has changed.  No registry has to be reached: the images that they name are made here, of Debian 12
# by debootstrap, under the names that the files have.  FOLDER keeps Debian between two runs (FOLDER/debian); without
# one, everything is in a temporary folder that goes.  A Docker engine of its own runs meanwhile, with a bridge of its
# own, and port 443 of this machine has to be free.
#
# Needs docker.io, docker-compose, debootstrap, skopeo, openssl, curl, and a trustkit on PATH.  Where PyPI is behind a
# proxy with an authority of its own, PIP_CERT names its file.
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
[ "$(id -u)" = 0 ] || { echo "This has to be root: it makes images and runs a Docker engine." >&2; exit 2; }
folder=${1:-}
work=$(mktemp -d /tmp/tk-deployed.XXXXXX)
debian=${folder:-$work}/debian
export DOCKER_HOST=unix://$work/docker.sock
say() { printf '\n== %s\n' "$*"; }

finish() {
    local status=$?
    if [ -S "$work/docker.sock" ]; then
        (cd "$work/compose" 2>/dev/null && { [ $status = 0 ] || docker-compose logs --tail 30; docker-compose down -v -t 5; }) || true
    fi
    if [ -s "$work/docker.pid" ]; then
        kill "$(cat "$work/docker.pid")" 2>/dev/null || true
        for _ in $(seq 50); do [ -s "$work/docker.pid" ] || break; sleep 0.2; done
    fi
    ip link delete tkdeployed 2>/dev/null || true
    umount "$work"/exec/netns/* 2>/dev/null || true
    rm -rf "$work" || true
    if [ $status = 0 ]; then say "all of it works"; else say "failed"; fi
    exit $status
}
trap finish EXIT

say "an engine"
echo '{}' > "$work/none.json"
ip link add tkdeployed type bridge && ip address add 10.219.7.1/24 dev tkdeployed && ip link set tkdeployed up
dockerd --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/docker.pid" -H "$DOCKER_HOST" \
    --config-file "$work/none.json" --bridge tkdeployed --iptables=false > "$work/engine.log" 2>&1 &
for _ in $(seq 100); do docker info > /dev/null 2>&1 && break; sleep 0.2; done
docker info > /dev/null || { cat "$work/engine.log"; exit 1; }

say "Debian 12"
packages=ca-certificates,python3,python3-venv,postgresql,nginx-light,docker-registry,gosu
[ -e "$debian/usr/sbin/gosu" ] || debootstrap --variant=minbase --include=$packages bookworm "$debian" http://deb.debian.org/debian
ln -sfn /usr/bin/python3 "$debian/usr/local/bin/python"
mkdir -p "$work/images"
tar -C "$debian" --exclude=./usr/share/doc --exclude=./usr/share/locale --exclude=./var/lib/apt/lists --exclude=./var/cache -c . |
    docker import - debian-with-all > /dev/null

say "images that stand for those that the files name"
image() { docker build -q -t "$1" -f - "$work/images" > /dev/null; }
cp "${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" "$work/images/ca.crt"
image docker.io/library/python:3.13-slim-bookworm <<'END'
FROM debian-with-all
COPY ca.crt /etc/ssl/certs/ca-certificates.crt
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DEFAULT_TIMEOUT=180
END
cat > "$work/images/postgres.sh" <<'END'
#!/bin/bash
# What the compose file asks of the official image: a folder that is filled at the first start, by a server on a socket alone.
set -Eeuo pipefail
mkdir -p "$PGDATA" && chmod 700 "$PGDATA"
chmod 3775 /var/run/postgresql
if [ "$(id -u)" = 0 ]; then
    find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres '{}' +
    exec gosu postgres "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    PGPASSWORD=$(< "$POSTGRES_PASSWORD_FILE"); export PGPASSWORD
    eval 'initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" '"$POSTGRES_INITDB_ARGS"
    PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
    psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres -c "CREATE DATABASE \"$POSTGRES_USER\""
    sleep 8 # a health check that asks now must not be told that all is well
    pg_ctl -D "$PGDATA" -m fast -w stop
    unset PGPASSWORD
fi
exec "$@"
END
chmod 755 "$work/images/postgres.sh"
image docker.io/library/postgres:17 <<'END'
FROM debian-with-all
RUN ["sh", "-c", "usermod -o -u 999 postgres && groupmod -o -g 999 postgres && install -d -o postgres -g postgres -m 3777 /var/run/postgresql && install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data"]
ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin PGDATA=/var/lib/postgresql/data
COPY postgres.sh /usr/bin/postgres.sh
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["postgres.sh"]
CMD ["postgres"]
END
image docker.io/nginxinc/nginx-unprivileged:1.28-alpine <<'END'
FROM debian-with-all
RUN ["sh", "-c", "{ echo 'pid /tmp/nginx.pid; error_log /dev/stderr; events {}'; echo 'http { access_log /dev/stdout; proxy_temp_path /tmp/p; client_body_temp_path /tmp/c; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; include /etc/nginx/conf.d/*.conf; }'; } > /etc/nginx/nginx.conf; touch /etc/nginx/conf.d/default.conf"]
USER 101
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
END
image docker.io/library/registry:2 <<'END'
FROM debian-with-all
RUN ["sh", "-c", "{ echo 'version: 0.1'; echo 'storage: {filesystem: {rootdirectory: /var/lib/registry}}'; echo 'http: {addr: \":5000\"}'; } > /etc/docker/registry/config.yml"]
VOLUME /var/lib/registry
ENTRYPOINT ["docker-registry"]
CMD ["serve", "/etc/docker/registry/config.yml"]
END

say "the container file"
(cd "$top" && docker build --network host -f docs/deploy/container/Containerfile -t trustkit . 2>&1 | grep -E '^Step|rror|Success')

say "one container, read-only, as nobody special"
docker run -d --name one --read-only --cap-drop=ALL --security-opt no-new-privileges -v one:/var/lib/trustkit trustkit > /dev/null
for _ in $(seq 60); do [ "$(docker inspect -f '{{.State.Health.Status}}' one)" = healthy ] && break; sleep 1; done
[ "$(docker inspect -f '{{.State.Health.Status}}' one)" = healthy ]
[ "$(docker exec one id -u)" = 10001 ]
docker exec one sh -c '! touch /x 2>/dev/null && ! touch /opt/trustkit/x 2>/dev/null'
docker stop one > /dev/null && [ "$(docker inspect -f '{{.State.ExitCode}}' one)" = 0 ]

say "the compose file"
mkdir "$work/compose" && cd "$work/compose"
cp "$top"/docs/deploy/compose/* .
install -d -o 10001 -g 10001 -m 700 data/trustkit data/images kek
install -d -o 10001 -g 10001 -m 750 run
install -d -m 700 secrets
(umask 077; openssl rand -base64 32 > kek/kek; openssl rand -hex 24 > secrets/database-password)
chown 10001:10001 kek/kek
chown 10001:999 secrets/database-password && chmod 440 secrets/database-password
install -d -m 755 tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=registry \
    -addext subjectAltName=DNS:registry.example.com -keyout tls/registry.key -out tls/registry.crt 2> /dev/null
chown 101 tls/registry.key && chmod 400 tls/registry.key
docker-compose up -d
admin() { docker-compose exec -T trustkit /opt/trustkit/bin/trustkit admin --data-dir /var/lib/trustkit "$@"; }
admin principal add alice > "$work/password"
for role in AcrPush AcrImageSigner; do admin role assign alice $role; done

cat > "$work/client.sh" <<'END'
set -euo pipefail
work=$1 tag=$2
cp /etc/hosts "$work/hosts" && echo "127.0.0.1 registry.example.com" >> "$work/hosts" && mount --bind "$work/hosts" /etc/hosts
export TRUSTKIT_HOME=$work/home DOCKER_CONFIG=$work/docker SSL_CERT_FILE=$work/compose/tls/registry.crt
export TRUSTKIT_ROOT_PASSPHRASE=of-the-root-key TRUSTKIT_REPOSITORY_PASSPHRASE=of-the-repository
mkdir -p "$work/certs" "$work/docker" && cp "$SSL_CERT_FILE" "$work/certs/ca.crt"
image=registry.example.com/team/app:$tag
trustkit login registry.example.com -u alice --password-stdin < "$work/password"
skopeo copy -q --dest-cert-dir "$work/certs" --authfile "$work/docker/config.json" "docker-archive:$work/image.tar" "docker://$image"
trustkit sign "$image"
trustkit verify "$image"
skopeo copy -q --src-cert-dir "$work/certs" --authfile "$work/docker/config.json" "docker://$image" "dir:$work/pulled-$tag"
curl -sSf --cacert "$SSL_CERT_FILE" https://registry.example.com/readyz > /dev/null
END
head -c 3000000 /dev/urandom > "$work/images/layer"
printf 'FROM scratch\nCOPY layer /layer\n' | docker build -q -t layer -f - "$work/images" > /dev/null && docker save layer -o "$work/image.tar"
client() { unshare -m bash "$work/client.sh" "$work" "$1"; }
commands() { docker-compose run --rm commands "$@"; }

client v1
say "restarts"
docker-compose restart -t 10 nginx && client v2
docker-compose restart -t 10 trustkit && sleep 5 && client v3
docker-compose restart -t 10 postgres && sleep 5 && client v4
say "upgrade, key-encryption key, backup"
commands db upgrade --data-dir /var/lib/trustkit
docker-compose up -d --no-deps --force-recreate trustkit && sleep 8 && client v5
commands admin --data-dir /var/lib/trustkit kek rotate --kek-file /run/kek/kek
client v6
docker-compose exec -T postgres sh -c \
    'PGPASSWORD=$(cat /run/secrets/database-password) exec pg_dump -U trustkit --format=custom trustkit' > backup.dump
[ "$(head -c 5 backup.dump)" = PGDMP ]
commands db check --data-dir /var/lib/trustkit
