#!/bin/sh
# docker-entrypoint.sh [COMMAND] [ARGUMENT...]: what a container of this image begins with. As with the official
# image: options or a configuration alone mean redis-server; who starts as root gives /data to the user redis and
# goes on as that user, and `--user` is honoured; the mode that protects a server without a password is off
# unless it is spoken of, since what can reach a container is for its network and its published ports to say.
# No variable of the environment configures anything: that is what the configuration and options are for.
set -eu

case ${1-} in
    -* | *.conf) set -- redis-server "$@" ;;
esac

case ${1-} in
    redis-server | redis-master | redis-replica | redis-sentinel) ;;
    # Any other program, such as redis-cli or a shell, runs as it is.
    *) exec "$@" ;;
esac

if [ "$(id -u)" = 0 ]; then
    # A volume of another image, or a folder of the host. What cannot be given away may still be writable.
    if [ "$PWD" != / ]; then
        find . ! -user redis -exec chown redis:redis {} + || echo "docker-entrypoint.sh: $PWD stays as it is" >&2
    fi
    exec setpriv --reuid=redis --regid=redis --init-groups "$0" "$@"
fi

# Snapshots hold what passwords protect.
[ "$(umask)" != 0022 ] || umask 0077

# Whether the configuration, or what it includes, has this directive.
configured() { # DIRECTIVE
    [ -n "$config" ] && grep -qisE "^[[:space:]]*(include|$1)[[:space:]]" "$config"
}

config=''
case ${2-} in
    # These say something and end, or read their configuration from where we cannot.
    -v | --version | -h | --help | --test-memory | --check-system | -) exec "$@" ;;
    '' | -*) ;;
    *) config=$2 ;;
esac

given=" $* "
case $given in
    *' --protected-mode '*) ;;
    *) [ "$1" = redis-sentinel ] || configured protected-mode || set -- "$@" --protected-mode no ;;
esac
case $given in
    *' --daemonize '*) ;;
    *)
        if [ -n "$config" ] && grep -qisE '^[[:space:]]*daemonize[[:space:]]+"?yes' "$config"; then
            echo "docker-entrypoint.sh: 'daemonize yes' would end the container at once: the server stays in the foreground" >&2
            set -- "$@" --daemonize no
        fi
        ;;
esac

# So that redis-healthcheck knows port and password. Where it cannot be written it has REDISCLI_AUTH to go by.
(umask 0077 && rm -f /run/redis/arguments && printf '%s\0' "$@" >/run/redis/arguments) 2>/dev/null || true

exec "$@"
