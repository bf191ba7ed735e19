#!/usr/bin/env bash
# render-man.sh OUT INSTALLER FROM BINARY...: writes manual pages into the folder OUT. What a program's page
# says of its options is what its --help says, and redis.conf(5) is conf/redis.conf, which is rendered from
# the table of directives: nothing is written twice.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$1 installer=$2 from=$3
shift 3
mkdir -p "$out"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)

roff() { sed -e 's/\\/\\e/g' -e "s/^\([.']\)/\\\\\&\1/" -e 's/-/\\-/g'; }

about() {
    case $1 in
        redis-server) echo "an in-memory data store, master or replica as its configuration says" ;;
        redis-master) echo "an in-memory data store that replicates to others" ;;
        redis-replica) echo "an in-memory data store that follows a master" ;;
        redis-install-server) echo "make or remove an instance of the server on this host" ;;
        redis-cli) echo "the shell of the server" ;;
        redis-benchmark) echo "measure a server" ;;
        redis-check-rdb) echo "check a snapshot" ;;
        redis-check-aof) echo "check and repair an append-only file" ;;
        redis-sentinel) echo "watch a master and promote a replica" ;;
        *) echo "a program of Tandem" ;;
    esac
}

page() { # NAME SECTION HELP SEE
    {
        printf '.TH %s %s "" "Tandem %s" "Tandem"\n' "$(tr '[:lower:]' '[:upper:]' <<<"$1")" "$2" "$version"
        printf '.SH NAME\n%s \\- %s\n' "$(roff <<<"$1")" "$(about "$1" | roff)"
        printf '.SH SYNOPSIS\n.nf\n'
        roff <<<"$3"
        printf '.fi\n'
        [ ! -f "systemd/$1.man" ] || cat "systemd/$1.man"
        printf '.SH SEE ALSO\n%s\n' "$4"
    } >"$out/$1.$2"
}

see='.BR redis.conf (5),
.BR redis\-server (1),
.BR redis\-master (1),
.BR redis\-replica (1),
.BR redis\-install\-server (8)'
for name in "$@"; do
    # A build for another machine cannot be asked.
    help=$("$from/$name" --help 2>&1) || true
    [ -n "$help" ] || continue
    page "$name" 1 "$help" "$see"
done
page redis-install-server 8 "$(sh "$installer" --help)" "$see"

# A block is a description, the default, and lines of the file.
{
    printf '.TH REDIS.CONF 5 "" "Tandem %s" "Tandem"\n.SH NAME\nredis.conf \\- configuration of a server\n' "$version"
    printf '.SH DESCRIPTION\n'
    roff <conf/redis.conf | awk '
        function flush_block(   i, last, text) {
            if (!lines) return
            for (last = lines; last > 1 && line[last] !~ /^# ?Default: |^# /; last--);
            if (titles && line[lines] ~ /^(# )?[a-z]/ && block ~ /Default: /) {
                name = line[lines]; sub(/^# /, "", name); sub(/ .*/, "", name)
                printf ".TP\n.B %s\n", name
                for (i = 1; i <= lines; i++) {
                    text = line[i]
                    if (text !~ /^# / || (i == lines)) continue
                    sub(/^# /, "", text); print text
                }
            } else {
                print ".PP"
                for (i = 1; i <= lines; i++) {
                    text = line[i]
                    if (text ~ /^#     /) { sub(/^#     /, "", text); printf ".RS\n.nf\n%s\n.fi\n.RE\n", text; continue }
                    sub(/^# ?/, "", text); if (text != "") print text
                }
            }
            lines = 0; block = ""
        }
        /^####/ {
            flush_block(); title = $0; gsub(/#/, "", title); gsub(/^ +| +$/, "", title)
            printf ".SH %s\n", title; titles++; next
        }
        /^#?$/ { flush_block(); next }
        { line[++lines] = $0; block = block $0 "\n" }
        END { flush_block() }'
    printf '.SH SEE ALSO\n%s\n' "$see"
} >"$out/redis.conf.5"
