#!/usr/bin/env bash
# uninstall.sh: removes what install.sh has listed. Files of /etc that were edited stay, as do instances'
# configurations, data and logs.
set -euo pipefail

prefix=${PREFIX%/} dest=${DESTDIR:-}
dest=${dest%/}
manifest=$dest$prefix/share/redis/installed

if [ ! -f "$manifest" ]; then
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

removed=0 folders=()
while read -r sum kind path; do
    if [ "$kind" = dir ]; then
        folders+=("$dest$path")
        continue
    fi
    [ -e "$dest$path" ] || continue
    if [ "$kind" = conf ] && [ "$(sha256sum <"$dest$path" | cut -d' ' -f1)" != "$sum" ]; then
        echo "left $dest$path, which was edited"
        continue
    fi
    rm -f "$dest$path"
    removed=$((removed + 1))
done <"$manifest"
rm -f "$manifest"

# Folders that were made for these files, where nothing else is in them: the lower ones first.
printf '%s\n' ${folders[@]+"${folders[@]}"} | sort -ru | while read -r folder; do
    rmdir "$folder" 2>/dev/null || true
done

if [ -z "$dest" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
echo "$removed files removed. Configurations and data of instances are left where they are."
