//! Owns the directives about snapshots and the append-only file.

use std::path::PathBuf;

use super::super::directive::section;
use super::super::special::SavePoint;
use super::super::values::AppendFsync;
use super::{I32_MAX, I32_MIN, I64_MAX, aof_dirname, aof_filename, rdb_filename};

section! {
    /// Snapshots and the append-only file.
    Persistence in persistence {
        /// Save a snapshot when so many seconds have passed and so many keys have changed: pairs, any
        /// of which is enough. `save ""` saves none.
        save: Vec<SavePoint> = special(save), "save", "3600 1 300 100 60 10000", MULTI_ARG;

        /// The directory for all files of the server, and what relative names are relative to.
        dir: PathBuf = special(dir), "dir", "./", PROTECTED, DENY_LOADING, PLACE -> WorkingDirectory;

        /// The name of the snapshot in that directory.
        dbfilename: String = text(rdb_filename), "dbfilename", "dump.rdb", PROTECTED;

        /// Refuse writes while the last background save has failed, so that somebody notices.
        stop_writes_on_bgsave_error: bool = bool(), "stop-writes-on-bgsave-error", "yes";

        /// Compress strings in snapshots with LZF.
        rdbcompression: bool = bool(), "rdbcompression", "yes";

        /// End snapshots with a checksum, and verify it when loading.
        rdbchecksum: bool = bool(), "rdbchecksum", "yes", IMMUTABLE;

        /// The RDB version of snapshots and syncs, as long as the data can be told in it: 9 for Redis 5
        /// and 6, 10 for 7.0, 11 for 7.2, 12 for 7.4 to 8.2; 80 for Valkey 9, whose own form no Redis reads.
        /// Fields of hashes that expire take 12 or 80: with less said here, 12 is written.
        /// A directive of Tandem's own.
        rdb_version: u32 = int(9, 80), "rdb-version", "10";

        /// Hand a snapshot to the disk in pieces while it is written.
        rdb_save_incremental_fsync: bool = bool(), "rdb-save-incremental-fsync", "yes";

        /// Log every write to an append-only file.
        appendonly: bool = bool(), "appendonly", "no", DENY_LOADING -> AppendOnly;

        /// The first part of the names of the append-only files.
        appendfilename: String = text(aof_filename), "appendfilename", "appendonly.aof", IMMUTABLE;

        /// The directory for the append-only files, inside dir.
        appenddirname: String = text(aof_dirname), "appenddirname", "appendonlydir", IMMUTABLE;

        /// When writes reach the disk for sure: always (before the reply), everysec, or no (when the
        /// kernel sees fit).
        appendfsync: AppendFsync = choice(), "appendfsync", "everysec" -> AppendFsync;

        /// Leave fsync out while a child writes a snapshot or rewrites the file.
        no_appendfsync_on_rewrite: bool = bool(), "no-appendfsync-on-rewrite", "no" -> FsyncDuringRewrite;

        /// Rewrite the append-only file when it has grown by so many percent; 0 never does.
        auto_aof_rewrite_percentage: u32 = int(0, I32_MAX), "auto-aof-rewrite-percentage", "100";

        /// Do not rewrite the append-only file by itself below this size.
        auto_aof_rewrite_min_size_bytes: u64 = memory(0, I64_MAX), "auto-aof-rewrite-min-size", "64mb";

        /// Start with an append-only file whose last command is cut off, after a crash for example,
        /// and drop that command.
        aof_load_truncated: bool = bool(), "aof-load-truncated", "yes";

        /// Rewrite to a snapshot instead of commands: smaller, and quicker to load.
        aof_use_rdb_preamble: bool = bool(), "aof-use-rdb-preamble", "yes";

        /// Note the time in the append-only file, for restoring to a point in time.
        aof_timestamp_enabled: bool = bool(), "aof-timestamp-enabled", "no";

        /// Hand a rewritten file to the disk in pieces while it is written.
        aof_rewrite_incremental_fsync: bool = bool(), "aof-rewrite-incremental-fsync", "yes";

        /// Keep append-only files that are no longer needed.
        aof_disable_auto_gc: bool = bool(), "aof-disable-auto-gc", "no", HIDDEN -> AofHistory;

        /// Microseconds to wait after each key that is saved; negative numbers count keys a microsecond.
        rdb_key_save_delay_us: i32 = int(I32_MIN, I32_MAX), "rdb-key-save-delay", "0", HIDDEN;

        /// Microseconds to wait after each key that is loaded; negative numbers count keys a microsecond.
        key_load_delay_us: i32 = int(I32_MIN, I32_MAX), "key-load-delay", "0", HIDDEN;

        /// How many bytes of a file are loaded between looks at the clients.
        loading_process_events_interval_bytes: u64 = int(1024, I32_MAX),
            "loading-process-events-interval-bytes", "2097152", HIDDEN, NO_EFFECT("a thread of its own loads, and clients are never kept waiting");
    }
}
