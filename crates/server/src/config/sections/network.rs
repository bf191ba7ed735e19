//! Owns the directives about listening, connections and their limits.

use super::super::directive::section;
use super::super::special::{BindAddress, BufferLimits};
use super::{I32_MAX, I64_MAX, MB, U32_MAX};

section! {
    /// Listening, connections and their limits.
    Network in network {
        /// The addresses to listen on. One with a leading - may be missing at start; * is every
        /// IPv4 and ::* every IPv6 address. Without this line the server listens everywhere, where
        /// protected-mode is all that keeps strangers out.
        bind: Vec<BindAddress> = special(bind), "bind", "* -::*", MULTI_ARG -> Bind;

        /// The address that connections to a master (and between nodes) come from.
        bind_source_addr: String = text(), "bind-source-addr", "" => "10.0.0.1";

        /// As long as no password is set, answer only to clients of this host.
        protected_mode: bool = bool(), "protected-mode", "yes";

        /// The TCP port; 0 listens on none.
        port: u16 = int(0, u16::MAX), "port", "6379" -> Port;

        /// How many connections may wait to be accepted. The kernel caps it at
        /// /proc/sys/net/core/somaxconn.
        tcp_backlog: u32 = int(0, I32_MAX), "tcp-backlog", "511", IMMUTABLE;

        /// Listen on this unix socket, too.
        unixsocket: String = text(), "unixsocket", "", IMMUTABLE => "/run/redis.sock";

        /// The permissions of the unix socket, in octal; 0 leaves them to the umask.
        unixsocketperm: u32 = octal(0, 0o777), "unixsocketperm", "0", IMMUTABLE => "700";

        /// Close a client that has been idle for so many seconds; 0 never does.
        timeout_s: u32 = int(0, I32_MAX), "timeout", "0";

        /// Seconds between keepalive probes on client connections; 0 sends none.
        tcp_keepalive_s: u32 = int(0, I32_MAX), "tcp-keepalive", "300";

        /// Mark our sockets with this number, for packet filters; 0 marks none.
        socket_mark_id: u32 = int(0, U32_MAX), "socket-mark-id", "0", IMMUTABLE, NO_EFFECT("sockets are not marked");

        /// How many clients may be connected at once. It is lowered when the limit on open files
        /// (ulimit -n) does not allow it.
        maxclients: u32 = int(1, U32_MAX), "maxclients", "10000" -> MaxClients;

        /// When to close a client that does not read its replies fast enough: at once above the hard
        /// limit, or when it stays above the soft limit for the given seconds; 0 is no limit. The
        /// classes are normal, replica and pubsub; each has a line of its own.
        client_output_buffer_limit: BufferLimits = special(buffer_limits), "client-output-buffer-limit",
            "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", MULTI_ARG, KEYED;

        /// How many bytes of requests that have not run yet a client may pile up.
        client_query_buffer_limit_bytes: u64 = memory(MB, I64_MAX), "client-query-buffer-limit", "1gb", DEBUG;

        /// The largest single argument of a command.
        proto_max_bulk_len_bytes: u64 = memory(MB, I64_MAX), "proto-max-bulk-len", "512mb", DEBUG;

        /// What all clients' buffers together may take before the largest are closed: bytes, a share of
        /// maxmemory such as 5%, or 0 for no limit.
        maxmemory_clients: i64 = memory_or_percent(-100, I64_MAX), "maxmemory-clients", "0" -> ClientMemory;

        /// Threads for socket work. One is the event loop itself.
        io_threads: u32 = int(1, 128), "io-threads", "1", IMMUTABLE, DEBUG, NO_EFFECT("the event loop does all socket work");

        /// Let those threads read and parse as well as write.
        io_threads_do_reads: bool = bool(), "io-threads-do-reads", "no", IMMUTABLE, DEBUG, NO_EFFECT("the event loop does all socket work");
    }
}
