//! What a changed value asks of the process. Names it only; whoever has the part concerned does it.

/// How a change of a directive takes effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// The value is looked up when it is needed, or handed on with all settings of engine and replication.
    #[default]
    WhenRead,
    /// The TCP listeners are opened anew, on another port.
    Port,
    /// The same, at other addresses.
    Bind,
    /// The same of the port that is encrypted.
    TlsPort,
    /// Certificates, keys and what is offered with them are read anew.
    Tls,
    MaxClients,
    /// Clients are measured, and closed where they are too large.
    ClientMemory,
    /// Keys may have to go, and what is a share of it changes with it.
    MaxMemory,
    WorkingDirectory,
    /// The append-only file begins or ends.
    AppendOnly,
    AppendFsync,
    FsyncDuringRewrite,
    /// Replaced append-only files go or stay.
    AofHistory,
    OomScore,
    AllocatorThread,
    /// Metrics are served at another place, or no more.
    Metrics,
    LogForm,
    LogLevel,
    CrashLog,
    Watchdog,
    ProcessTitle,
}
