#!/usr/bin/env bash
# uninstall.sh: removes what install.sh has listed, which says what the lines mean, whether it came to its end or
# not. Files of /etc that were edited stay, as do instances' configurations, data and logs.
set -euo pipefail

prefix=${PREFIX%/} dest=${DESTDIR:-}
dest=${dest%/}
manifest=$dest$prefix/share/redis/installed

if [ ! -f "$manifest" ]; then
    # An installation that was killed before it had put anything anywhere.
    rm -f "$manifest".tmp.*
    echo "nothing to uninstall: $manifest is not there" >&2
    exit 1
fi

# Instances that are set up would start from a program that is gone.
if [ -z "$dest" ] && [ -d /run/systemd/system ]; then
    running=$(systemctl list-units --plain --no-legend --state=active 'redis-master*' 'redis-replica*' |
        awk '{ printf " %s", $1 }')
    if [ -n "$running" ]; then
        echo "these services run:$running" >&2
        echo "remove them first (redis-install-server --remove PORT), or stop them" >&2
        exit 1
    fi
fi

removed=0 folders=() left=()
while read -r sum kind path; do
    path=$dest$path
    if [ "$kind" = dir ]; then folders+=("$path"); fi
    [ -f "$path" ] || [ -L "$path" ] || continue
    case $kind in
        file | part) ;;
        # What install.sh came to or did not, and what is edited.
        *)
            if [ "$(sha256sum <"$path" | cut -d' ' -f1)" != "$sum" ]; then
                if [ "$kind" = conf ]; then left+=("$path"); fi
                continue
            fi
            ;;
    esac
    rm -f "$path"
    removed=$((removed + 1))
done <"$manifest"
for path in ${left[@]+"${left[@]}"}; do
    if [ -e "$path" ]; then echo "left $path, which was edited"; fi
done
rm -f "$manifest" "$manifest".tmp.*

# Folders that were made for all this, innermost first, unless somebody else has something there by now.
printf '%s\n' ${folders[@]+"${folders[@]}"} | sort -ru | while read -r folder; do
    rmdir "$folder" 2>/dev/null || true
done

if [ -z "$dest" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
echo "$removed files removed. Configurations and data of instances are left where they are."
