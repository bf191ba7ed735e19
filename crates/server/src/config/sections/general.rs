//! Owns the directives about the process itself: how it starts, logs, shows itself and stops.

use super::super::directive::section;
use super::super::special::ShutdownFlags;
use super::super::values::{LogFormat, LogLevel, OomScoreAdj, Supervised, SyslogFacility};
use super::{I32_MAX, proc_title};

section! {
    /// The process itself: how it starts, logs, shows itself and stops.
    General in general {
        /// Run in the background, detached from the terminal. Leave it off under systemd and in
        /// containers, which want to watch the process themselves.
        daemonize: bool = bool(), "daemonize", "no", IMMUTABLE;

        /// File that holds the process id while the server runs. When nothing is given, a background
        /// server uses /var/run/redis.pid and a foreground one writes none.
        pidfile: String = text(), "pidfile", "", IMMUTABLE => "/var/run/redis_6379.pid";

        /// Tell a supervisor about start, progress and stop: `systemd` speaks sd_notify through
        /// $NOTIFY_SOCKET, `upstart` stops itself with SIGSTOP when ready, `auto` looks at the
        /// environment to find out, `no` tells nobody.
        supervised: Supervised = choice(), "supervised", "no", IMMUTABLE;

        /// How much is logged: debug (everything), verbose, notice (what production wants),
        /// warning (only what needs attention), nothing.
        loglevel: LogLevel = choice(), "loglevel", "notice" -> LogLevel;

        /// The form of a line: text as Redis writes it; logfmt (ts=... level=... pid=... role=... msg="...") or
        /// json, an object a line, for programs: times in UTC, and one line whatever is in a message. Valkey
        /// says legacy for text.
        log_format: LogFormat = choice(), "log-format", "text" -> LogForm;

        /// Append the log to this file; empty means standard output, or nowhere in the background.
        /// A file that logrotate moved away is created again at the next line.
        logfile: String = text(), "logfile", "", IMMUTABLE;

        /// Send the log to syslog as well.
        syslog_enabled: bool = bool(), "syslog-enabled", "no", IMMUTABLE;

        /// The name under which syslog files our lines.
        syslog_ident: String = text(), "syslog-ident", "redis", IMMUTABLE;

        /// The syslog facility, user or local0 to local7.
        syslog_facility: SyslogFacility = choice(), "syslog-facility", "local0", IMMUTABLE;

        /// How many databases SELECT can choose from, numbered from 0.
        databases: u32 = int(1, I32_MAX), "databases", "16", IMMUTABLE;

        /// Say the version, the port and the process id in lines of their own when the server starts.
        always_show_logo: bool = bool(), "always-show-logo", "no", IMMUTABLE;

        /// Let ps and top show more than the bare command, see proc-title-template.
        set_proc_title: bool = bool(), "set-proc-title", "yes", IMMUTABLE;

        /// What ps shows. Known variables: {title} {listen-addr} {server-mode} {port} {tls-port}
        /// {unixsocket} {config-file}.
        proc_title_template: String = text(proc_title), "proc-title-template",
            "{title} {listen-addr} {server-mode}" -> ProcessTitle;

        /// The locale by which strings are compared in SORT and in scripts; empty takes the
        /// environment's.
        locale_collate: String = text(), "locale-collate", "", NO_EFFECT("strings are compared by their bytes");

        /// How many times a second the housekeeping runs (expiry, timeouts, statistics): 1 to 500.
        hz: u32 = int(0, I32_MAX), "hz", "10";

        /// Raise hz while many clients are connected.
        dynamic_hz: bool = bool(), "dynamic-hz", "yes", NO_EFFECT("hz stays as it is set");

        /// How many seconds SHUTDOWN waits for replicas to catch up; 0 waits for none.
        shutdown_timeout_s: u32 = int(0, I32_MAX), "shutdown-timeout", "10";

        /// What SIGINT does: default (save when there are save points), or words of
        /// save, nosave, now, force as the SHUTDOWN command has them.
        shutdown_on_sigint: ShutdownFlags = special(shutdown), "shutdown-on-sigint", "default", MULTI_ARG;

        /// What SIGTERM does, in the words of shutdown-on-sigint.
        shutdown_on_sigterm: ShutdownFlags = special(shutdown), "shutdown-on-sigterm", "default", MULTI_ARG;

        /// Keep the kernel from backing this process with huge pages, which make a fork's
        /// copy-on-write slow and large.
        disable_thp: bool = bool(), "disable-thp", "yes", IMMUTABLE;

        /// Tell the kernel's out-of-memory killer whom to prefer: no leaves it alone, yes (or
        /// relative) adds oom-score-adj-values to the score at start, absolute writes them as they are.
        oom_score_adj: OomScoreAdj = choice(), "oom-score-adj", "no" -> OomScore;

        /// The adjustments for a master, a replica and a background child. Without privileges a
        /// process can only raise its own.
        oom_score_adj_values: [i32; 3] = special(oom_values), "oom-score-adj-values", "0 200 800", MULTI_ARG -> OomScore;

        /// Write a report with a backtrace to the log when the server crashes.
        crash_log_enabled: bool = bool(), "crash-log-enabled", "yes" -> CrashLog;

        /// Test the memory after a crash, to tell a broken module from a broken program.
        crash_memcheck_enabled: bool = bool(), "crash-memcheck-enabled", "yes", NO_EFFECT("there is no memory test");

        /// Exit instead of aborting on a panic, so that no core is written.
        use_exit_on_panic: bool = bool(), "use-exit-on-panic", "no", HIDDEN, NO_EFFECT("a panic always aborts");

        /// Milliseconds after which a stuck event loop leaves its stack in the log; 0 never does. What
        /// is less than two rounds of hz counts as that.
        watchdog_period_ms: u32 = int(0, I32_MAX), "watchdog-period", "0", HIDDEN -> Watchdog;

        /// Let jemalloc return freed pages from a thread of its own.
        jemalloc_bg_thread: bool = bool(), "jemalloc-bg-thread", "yes" -> AllocatorThread;

        /// The CPUs that the event loop is pinned to, such as 0-7:2.
        server_cpulist: String = text(), "server_cpulist", "", IMMUTABLE, NO_EFFECT("no thread is pinned") => "0-7:2";

        /// The CPUs for helper threads.
        bio_cpulist: String = text(), "bio_cpulist", "", IMMUTABLE, NO_EFFECT("no thread is pinned") => "1,3";

        /// The CPUs for the child that rewrites the append-only file.
        aof_rewrite_cpulist: String = text(), "aof_rewrite_cpulist", "", IMMUTABLE, NO_EFFECT("no child is pinned") => "8-11";

        /// The CPUs for the child that saves a snapshot.
        bgsave_cpulist: String = text(), "bgsave_cpulist", "", IMMUTABLE, NO_EFFECT("no child is pinned") => "1,10-11";

        /// Checks at start that are to be passed over, such as ARM64-COW-BUG.
        ignore_warnings: String = text(), "ignore-warnings", "", NO_EFFECT("no check is of the kind that it names") => "ARM64-COW-BUG";
    }
}
