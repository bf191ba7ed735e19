#!/usr/bin/env bash
# render-completions.sh OUT: writes completions for bash, zsh and fish into the folder OUT. The options of the
# servers are the directives of conf/redis.conf, and those of the installer come from its help.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$1
mkdir -p "$out"

# Name, and y for those that take yes or no.
directives() {
    awk '
        /^$/ { if (block ~ /# Default: / && name != "") print name, yes; block = name = "" }
        { block = block $0 "\n"; name = $0; sub(/^# /, "", name); sub(/ .*/, "", name)
          if ($0 ~ /^# Default: (yes|no)\./) yes = "y"; else if ($0 ~ /^# Default: /) yes = "-" }
    ' conf/redis.conf | sort -u
}
all=$(directives | cut -d' ' -f1)
switches=$(directives | sed -n 's/ y$//p')
installer=$(sed -n 's/^  \(--[a-z-]*\).*/\1/p' scripts/redis-install-server)
servers="redis-server redis-master redis-replica"

join() { tr '\n' ' ' | sed 's/ $//'; }

cat >"$out/bash" <<END
# Completions for the servers and their installer: a file, and directives as options.
_redis_server() {
    local word=\$2 before=\$3
    COMPREPLY=()
    case " $(sed 's/^/--/' <<<"$switches" | join) " in
        *" \$before "*) COMPREPLY=(\$(compgen -W 'yes no' -- "\$word")); return ;;
    esac
    case \$word in
        -*) COMPREPLY=(\$(compgen -W '--help --version $(sed 's/^/--/' <<<"$all" | join)' -- "\$word")) ;;
        *) COMPREPLY=(\$(compgen -f -- "\$word")) ;;
    esac
}
_redis_install_server() {
    local word=\$2 before=\$3
    COMPREPLY=()
    case \$before in
        --role) COMPREPLY=(\$(compgen -W 'master replica' -- "\$word")) ;;
        --tls-replication) COMPREPLY=(\$(compgen -W 'yes no' -- "\$word")) ;;
        --config | --log | --data | --executable | --root | --tls-*-file) COMPREPLY=(\$(compgen -f -- "\$word")) ;;
        *) COMPREPLY=(\$(compgen -W '--help --purge --remove $(join <<<"$installer")' -- "\$word")) ;;
    esac
}
complete -o filenames -F _redis_server $servers
complete -o filenames -F _redis_install_server redis-install-server
END

{
    echo "#compdef $servers redis-install-server"
    echo "# Completions for the servers and their installer: a file, and directives as options."
    echo "if [[ \$service == redis-install-server ]]; then"
    echo "    _arguments \\"
    for option in --help --purge --remove $installer; do
        case $option in
            --role) echo "        '--role:role:(master replica)' \\" ;;
            --tls-replication) echo "        '--tls-replication:value:(yes no)' \\" ;;
            --help | --purge | --yes | --no-start | --tls) echo "        '$option' \\" ;;
            --config | --log | --executable | --tls-*-file) echo "        '$option:file:_files' \\" ;;
            --data | --root) echo "        '$option:folder:_files -/' \\" ;;
            *) echo "        '$option:value:' \\" ;;
        esac
    done
    echo "        && return"
    echo "else"
    echo "    _arguments '1:configuration:_files' --help --version \\"
    directives | while read -r name yes; do
        if [ "$yes" = y ]; then
            echo "        '--$name:value:(yes no)' \\"
        else
            echo "        '--$name:value:_files' \\"
        fi
    done
    echo "        && return"
    echo "fi"
} >"$out/zsh"

for server in $servers; do
    {
        echo "# Completions for $server: a file, and directives as options."
        directives | while read -r name yes; do
            if [ "$yes" = y ]; then
                echo "complete -c $server -l $name -x -a 'yes no'"
            else
                echo "complete -c $server -l $name -r"
            fi
        done
    } >"$out/$server.fish"
done
{
    echo "# Completions for redis-install-server."
    for option in --help --purge --remove $installer; do
        case $option in
            --tls-replication) echo "complete -c redis-install-server -l tls-replication -x -a 'yes no'" ;;
            --role) echo "complete -c redis-install-server -l role -x -a 'master replica'" ;;
            --help | --purge | --yes | --no-start | --tls) echo "complete -c redis-install-server -f -l ${option#--}" ;;
            *) echo "complete -c redis-install-server -l ${option#--} -r" ;;
        esac
    done
} >"$out/redis-install-server.fish"
