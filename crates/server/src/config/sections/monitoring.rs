//! Owns the directives about metrics and health over HTTP.

use super::super::directive::section;
use super::super::special::BindAddress;
use super::I32_MAX;

section! {
    /// Metrics, health and the page that draws the replication, over HTTP.
    Monitoring in monitoring {
        /// Answer HTTP on this port: /metrics for Prometheus, /healthz, /readyz, and a page at /. 0 does not.
        metrics_port: u16 = int(0, u16::MAX), "metrics-port", "0" -> Metrics;

        /// The addresses to listen on for it. What is told has no password: keep it to networks that may know.
        metrics_bind: Vec<BindAddress> = special(bind), "metrics-bind", "127.0.0.1", MULTI_ARG -> Metrics;

        /// A replica that has heard nothing of its master for more seconds is not ready, says /readyz.
        metrics_ready_max_lag_s: u32 = int(0, I32_MAX), "metrics-ready-max-lag", "10";
    }
}
