#!/usr/bin/env bash
# install.sh FROM BINARY...: puts everything into place, below DESTDIR: binaries, stripped, their debug info
# beside them, where debuggers and our own backtraces look for it; units, the service's user and folders,
# rotation of logs, templates of configurations, manual pages, completions. PREFIX, CONFDIR and DESTDIR come
# from the Makefile, which may be called again at any time.
#
# A running server keeps its old binary. A file of /etc that was edited is never overwritten: the new one comes
# beside it as FILE.new. What was installed is listed in PREFIX/share/redis/installed, for `make uninstall`, before
# anything is put there: an installation that is interrupted can be taken back, or made again. A line of the list is
# a checksum, a kind and a path:
#     file    ours, whatever is in it
#     conf    ours unless it was edited
#     new     to be put there: ours if it is, and somebody else's before
#     part    what a file is copied to before it has its name
#     dir     a folder that was made
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
expect_writable() { # FOLDER...
    local folder
    for folder; do
        folder=$dest$folder
        while [ ! -e "$folder" ]; do folder=$(dirname "$folder"); done
        [ -d "$folder" ] || {
            echo "install.sh: $folder is not a directory" >&2
            exit 1
        }
        [ -w "$folder" ] || {
            echo "install.sh: $folder is not writable: try again as root (sudo make install), or with another PREFIX and CONFDIR" >&2
            exit 1
        }
    done
}
expect_writable "$prefix" "$confdir" "$units"

work=$(mktemp -d)
placing='' begun=''
clean_up() {
    status=$?
    trap - EXIT
    set +e
    [ -z "$placing" ] || rm -f "$placing"
    if [ -z "$begun" ] && [ -e "$work/made" ]; then
        sort -r "$work/made" | while read -r _ _ folder; do rmdir "$dest$folder" 2>/dev/null; done
    fi
    rm -rf "$work"
    if [ -n "$begun" ]; then
        echo "install.sh: not everything is in place: make install again, or make uninstall, which takes away what is" >&2
    fi
    exit $status
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

sum() { sha256sum <"$1" | cut -d' ' -f1; }

touch "$work/before"
[ ! -f "$dest$manifest" ] || cp "$dest$manifest" "$work/before"
# What an earlier installation put there, or was about to.
was_put() { # SUM TARGET
    awk -v sum="$1" -v path="$2" '$1 == sum && $3 == path { found = 1 } END { exit !found }' "$work/before"
}

# ---- what goes where ----

# Nothing is put anywhere before all of it is known: TARGETS[i] is to be SOURCES[i].
sources=() targets=() modes=()
kept=() obsolete=()
: >"$work/manifest"

put() { # SOURCE TARGET MODE [KIND]
    sources+=("$1") targets+=("$2") modes+=("$3")
    echo "$(sum "$1") ${4:-file} $2" >>"$work/manifest"
}

# For what people edit.
put_conf() { # SOURCE TARGET MODE
    local is
    if [ -e "$dest$2" ]; then is=$(sum "$dest$2"); fi
    if [ ! -e "$dest$2" ] || cmp -s "$1" "$dest$2" || was_put "$is" "$2"; then
        put "$@" conf
        obsolete+=("$dest$2.new")
        return
    fi
    # The edited file is not ours to remove, and the new one beside it is.
    awk -v path="$2" '$3 == path { print $1, "conf", $3; found = 1 } END { if (!found) print "none conf", path }' \
        "$work/before" >>"$work/manifest"
    put "$1" "$2.new" "$3"
    kept+=("$dest$2")
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

# ---- putting it there ----

folders=("$share/redis")
for target in "${targets[@]}"; do folders+=("$(dirname "$target")"); done
mapfile -t folders < <(printf '%s\n' "${folders[@]}" | sort -u)
expect_writable "${folders[@]}"

# Only the rename gives a file its name: it is whole at its place or not there.
place() { # SOURCE TARGET MODE
    placing=$dest$2.tmp.$$
    install -m "$3" "$1" "$placing"
    mv -f "$placing" "$dest$2"
    placing=''
}

place_manifest() { # LINES
    awk '!seen[$0]++' "$1" >"$work/lines"
    place "$work/lines" "$manifest" 644
}

# Of what earlier installations listed, the copies are of no use, and the rest is still theirs.
while read -r _ kind path; do
    if [ "$kind" = part ]; then rm -f "$dest$path"; fi
done <"$work/before"
for folder in "${folders[@]}"; do
    while [ ${#folder} -gt 1 ] && [ ! -e "$dest$folder" ]; do
        echo "- dir $folder"
        folder=$(dirname "$folder")
    done
done | sort -u >"$work/made"
{
    grep -v ' part ' "$work/before" || true
    sed -E 's/^([^ ]+) (file|conf) /\1 new /' "$work/manifest"
    cat "$work/made"
    for target in "${targets[@]}"; do echo "- part $target.tmp.$$"; done
} >"$work/begun"
install -d "$dest$share/redis"
place_manifest "$work/begun"
begun=yes

installed=0 unchanged=0
for i in "${!targets[@]}"; do
    target=${targets[i]}
    if cmp -s "${sources[i]}" "$dest$target"; then
        unchanged=$((unchanged + 1))
        continue
    fi
    install -d "$(dirname "$dest$target")"
    place "${sources[i]}" "$target" "${modes[i]}"
    installed=$((installed + 1))
    echo "installed $dest$target"
done
for path in ${obsolete[@]+"${obsolete[@]}"}; do rm -f "$path"; done

# All of this installation is there; what only an earlier one had is to be found by `make uninstall` as before.
{
    cat "$work/manifest" "$work/made"
    while read -r sum kind path; do
        if [ -e "$dest$path" ]; then echo "$sum $kind $path"; fi
    done < <(awk 'NR == FNR { ours[$3]; next } $2 != "part" && !($3 in ours)' "$work/manifest" "$work/before")
} >"$work/done"
place_manifest "$work/done"
begun='' && rm "$work/made"

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
