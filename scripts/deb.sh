#!/usr/bin/env bash
# deb.sh FROM OUT BINARY...: makes Debian packages of what `make install` installs: tandem-server, and tandem-tools
# if there are tools. They stand in for redis-server and redis-tools, and cannot be installed beside them.
# Needs dpkg-dev (dpkg-deb, dpkg-shlibdeps), and runs as anybody.
set -euo pipefail
cd "$(dirname "$0")/.."

from=$(realpath "$1") out=$2
shift 2
mkdir -p "$out"
out=$(realpath "$out")
for tool in dpkg-deb dpkg-shlibdeps; do
    command -v "$tool" >/dev/null || { echo "$tool is missing (package dpkg-dev)" >&2; exit 1; }
done

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
architecture=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-Tandem Developers} <${DEBEMAIL:-tandem@tandem.invalid}>"
# The same sources make the same package.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

servers=() tools=()
for binary in "$@"; do
    case $binary in
        redis-server | redis-master | redis-replica | redis-sentinel) servers+=("$binary") ;;
        *) tools+=("$binary") ;;
    esac
done

finish() { # PACKAGE, whose tree is in $work/PACKAGE, and the control file without sizes in $work/PACKAGE.control
    local package=$1 root=$work/$1 doc=$work/$1/usr/share/doc/$1
    install -d "$doc" "$root/DEBIAN"
    {
        printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n'
        printf 'Upstream-Name: Tandem\n\nFiles: *\nCopyright: 2026 the Tandem authors\nLicense: BSD-3-Clause\n'
        sed -n '/^Redistribution/,$p' LICENSE | sed -e 's/^$/./' -e 's/^/ /'
    } >"$doc/copyright"
    printf '%s (%s) unstable; urgency=medium\n\n  * See the changelog of Tandem.\n\n -- %s  %s\n' \
        tandem "$version" "$maintainer" "$(date -R -u -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.gz"
    find "$root/usr/share/man" -type f -exec gzip -9n {} + 2>/dev/null || true
    find "$root" -type d -exec chmod 755 {} +
    (cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | sort | xargs md5sum) >"$root/DEBIAN/md5sums"
    [ ! -d "$root/etc" ] || (cd "$root" && find etc -type f -printf '/%p\n' | sort) >"$root/DEBIAN/conffiles"

    # dpkg-shlibdeps wants to be in a source package.
    install -d "$work/source/debian"
    printf 'Source: tandem\n\nPackage: %s\nArchitecture: any\n' "$package" >"$work/source/debian/control"
    local needs
    needs=$(cd "$work/source" && dpkg-shlibdeps -O --ignore-missing-info "$root"/usr/bin/redis-* 2>/dev/null |
        sed -n 's/^shlibs:Depends=//p') || true
    sed -e "s|@SHLIBS@|${needs:-libc6}|" "$work/$package.control" >"$root/DEBIAN/control"
    printf 'Installed-Size: %s\n' "$(du -sk --exclude=DEBIAN "$root" | cut -f1)" >"$work/size"
    sed -i "/^Architecture:/r $work/size" "$root/DEBIAN/control"
    find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group -Zxz --build "$root" "$out/${package}_${version}_$architecture.deb" >/dev/null
    echo "$out/${package}_${version}_$architecture.deb"
}

install_tree() { # PACKAGE BINARY...
    local root=$work/$1
    shift
    PREFIX=/usr CONFDIR=/etc/redis DESTDIR=$root scripts/install.sh "$from" "$@" >/dev/null
    # Debug info is for those who build; the list of what is installed is dpkg's.
    rm -rf "$root"/usr/bin/*.debug "$root/usr/share/redis"
}

# ---- tandem-server ----

install_tree tandem-server "${servers[@]}"
root=$work/tandem-server
install -d "$root/usr/share/doc/tandem-server/examples" "$root/usr/share/zsh/vendor-completions"
mv "$root"/etc/redis/*.example "$root/usr/share/doc/tandem-server/examples/"
mv "$root"/usr/share/zsh/site-functions/* "$root/usr/share/zsh/vendor-completions/"
rmdir "$root/usr/share/zsh/site-functions"
# Units are in /lib as far as the packaging tools of this release look.
install -d "$root/lib/systemd"
mv "$root/usr/lib/systemd/system" "$root/lib/systemd/system"
rmdir "$root/usr/lib/systemd"

cat >"$work/tandem-server.control" <<END
Package: tandem-server
Source: tandem
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Section: database
Priority: optional
Depends: @SHLIBS@, adduser
Recommends: logrotate
Suggests: tandem-tools | redis-tools
Provides: redis-server (= 5:7.2.4)
Conflicts: redis-server
Replaces: redis-server
Description: in-memory data store with replication, compatible with Redis
 Tandem keeps strings, lists, hashes, sets and sorted sets in memory, on one
 master and any number of replicas. Clients of Redis work with it unchanged,
 and a redis-server can be its master or its replica.
 .
 No instance is started by the installation of this package:
 redis-install-server makes as many as are wanted, each a service of systemd.
END
install -d "$root/DEBIAN"
install -m 755 scripts/deb/postinst scripts/deb/prerm scripts/deb/postrm "$root/DEBIAN/"
finish tandem-server

# ---- tandem-tools ----

if [ ${#tools[@]} = 0 ]; then exit 0; fi
install_tree tools-whole "${tools[@]}"
root=$work/tandem-tools
for tool in "${tools[@]}"; do
    install -D -m 755 "$work/tools-whole/usr/bin/$tool" "$root/usr/bin/$tool"
    page=usr/share/man/man1/$tool.1
    [ ! -f "$work/tools-whole/$page" ] || install -D -m 644 "$work/tools-whole/$page" "$root/$page"
done
cat >"$work/tandem-tools.control" <<END
Package: tandem-tools
Source: tandem
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Section: database
Priority: optional
Depends: @SHLIBS@
Provides: redis-tools (= 5:7.2.4)
Conflicts: redis-tools
Replaces: redis-tools
Description: tools for Tandem, an in-memory data store compatible with Redis
 The shell, the benchmark, and the programs that check snapshots and
 append-only files. They work with Redis as well.
END
finish tandem-tools
