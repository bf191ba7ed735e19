#!/usr/bin/env bash
# install.sh FROM BINARY...: puts everything into place, below DESTDIR: binaries, stripped, their debug info
# beside them, where debuggers and our own backtraces look for it; units, the service's user and folders,
# rotation of logs, templates of configurations, manual pages, completions. PREFIX, CONFDIR and DESTDIR come
# from the Makefile, which may be called again at any time.
#
# A running server keeps its old binary. A file of /etc that was edited is never overwritten: the new one comes
# beside it as FILE.new. What was installed is listed in PREFIX/share/redis/installed, for `make uninstall`.
set -euo pipefail
cd "$(dirname "$0")/.."

from=$1
shift
prefix=${PREFIX%/} confdir=${CONFDIR%/} dest=${DESTDIR:-}
dest=${dest%/}

bin=$prefix/bin share=$prefix/share
# systemd looks into these; of any other prefix it knows nothing.
case $prefix in
    /usr | /usr/local) lib=$prefix/lib units=$prefix/lib/systemd/system ;;
    *) lib=/etc units=/etc/systemd/system ;;
esac
manifest=$share/redis/installed

# Whoever forgot to be root hears of that, not of the first file.
for folder in "$dest$prefix" "$dest$confdir" "$dest$units"; do
    while [ ! -e "$folder" ]; do folder=$(dirname "$folder"); done
    [ -w "$folder" ] || {
        echo "install.sh: $folder is not writable: try again as root (sudo make install), or with another PREFIX and CONFDIR" >&2
        exit 1
    }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/manifest"
if [ -f "$dest$manifest" ]; then awk '$2 == "dir"' "$dest$manifest"; fi >"$work/folders"
installed=0 unchanged=0 kept=()

sum() { sha256sum <"$1" | cut -d' ' -f1; }

# What an earlier installation put there.
sum_before() { # TARGET
    [ ! -f "$dest$manifest" ] || awk -v path="$1" '$3 == path { print $1 }' "$dest$manifest"
}

# A folder that is not there yet is ours to remove again; those of the system may be as empty.
folder_for() { # DIR
    local folder=$1
    while [ ! -d "$dest$folder" ] && [ "$folder" != / ]; do
        echo "- dir $folder" >>"$work/folders"
        folder=$(dirname "$folder")
    done
    install -d "$dest$1"
}

# Each file is whole at its place or not there: copied beside it, then renamed.
place() { # SOURCE TARGET MODE
    folder_for "$(dirname "$2")"
    install -m "$3" "$1" "$dest$2.tmp.$$"
    mv -f "$dest$2.tmp.$$" "$dest$2"
    installed=$((installed + 1))
    echo "installed $dest$2"
}

put() { # SOURCE TARGET MODE
    if cmp -s "$1" "$dest$2"; then
        unchanged=$((unchanged + 1))
    else
        place "$1" "$2" "$3"
    fi
    echo "$(sum "$1") file $2" >>"$work/manifest"
}

# For what people edit.
put_conf() { # SOURCE TARGET MODE
    local before
    before=$(sum_before "$2")
    if [ ! -e "$dest$2" ] || cmp -s "$1" "$dest$2" || [ "$(sum "$dest$2")" = "$before" ]; then
        put "$@"
        sed -i "\$s/ file / conf /" "$work/manifest"
        rm -f "$dest$2.new"
        return
    fi
    place "$1" "$2.new" "$3"
    kept+=("$dest$2")
    # The edited file is not ours to remove, and the new one beside it is.
    echo "${before:-none} conf $2" >>"$work/manifest"
    echo "$(sum "$1") file $2.new" >>"$work/manifest"
}

fill() { # SOURCE: with the folders of this installation
    sed -e "s|@BINDIR@|$bin|g; s|@CONFDIR@|$confdir|g; s|@UNITDIR@|$units|g" "$1"
}

for binary in "$@"; do
    if command -v objcopy >/dev/null; then
        # The binary names its debug info by file name and checksum.
        objcopy --only-keep-debug "$from/$binary" "$work/$binary.debug"
        objcopy --strip-all --add-gnu-debuglink="$work/$binary.debug" "$from/$binary" "$work/$binary"
        put "$work/$binary.debug" "$bin/$binary.debug" 644
        put "$work/$binary" "$bin/$binary" 755
    else
        echo "objcopy is not here (package binutils): $binary keeps its debug info inside" >&2
        put "$from/$binary" "$bin/$binary" 755
    fi
done
fill scripts/redis-install-server >"$work/installer"
put "$work/installer" "$bin/redis-install-server" 755

for conf in conf/*.conf; do
    put "$conf" "$confdir/$(basename "$conf").example" 644
done
for template in conf/*.template; do
    put_conf "$template" "$confdir/$(basename "$template")" 644
done

scripts/render-units.sh "$work/units" "$bin" "$confdir"
for unit in "$work"/units/*; do
    case $units in
        /etc/*) put_conf "$unit" "$units/$(basename "$unit")" 644 ;;
        *) put "$unit" "$units/$(basename "$unit")" 644 ;;
    esac
done
put systemd/redis.sysusers "$lib/sysusers.d/redis.conf" 644
fill systemd/redis.tmpfiles.in >"$work/tmpfiles"
put "$work/tmpfiles" "$lib/tmpfiles.d/redis.conf" 644
put_conf systemd/redis.logrotate /etc/logrotate.d/redis 644

scripts/render-man.sh "$work/man" "$work/installer" "$from" "$@"
for page in "$work"/man/*; do
    put "$page" "$share/man/man${page##*.}/$(basename "$page")" 644
done

scripts/render-completions.sh "$work/completions"
# One file completes for all programs; bash looks for it under the name of each.
for name in redis-server redis-master redis-replica redis-install-server; do
    put "$work/completions/bash" "$share/bash-completion/completions/$name" 644
    put "$work/completions/$name.fish" "$share/fish/vendor_completions.d/$name.fish" 644
done
put "$work/completions/zsh" "$share/zsh/site-functions/_redis-server" 644

folder_for "$share/redis"
sort -u "$work/folders" >>"$work/manifest"
install -m 644 "$work/manifest" "$dest$manifest"

echo
echo "$installed files installed, $unchanged were there already."
for path in ${kept[@]+"${kept[@]}"}; do
    echo "$path was edited and is left alone; what it would be now is in $path.new"
done

# In a system that runs, what systemd is to know it is told at once.
if [ -z "$dest" ] && [ "$(id -u)" = 0 ]; then
    if command -v systemd-sysusers >/dev/null; then systemd-sysusers redis.conf; fi
    if command -v systemd-tmpfiles >/dev/null; then systemd-tmpfiles --create redis.conf; fi
    if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
fi

echo
echo "What next:"
echo "    $bin/redis-install-server            asks for port, role and places, and starts the service"
echo "    $bin/redis-server --port 7777        or a server in this terminal"
if [ -n "$dest" ]; then
    echo "(in the system that $dest becomes, or after: systemd-sysusers; systemd-tmpfiles --create)"
fi
