//! The process's certificates and keys: reading them anew, and telling early when they end. What they are used
//! for is the connections'.

use engine::world::InfoLines;
use log::{info, warn};

use crate::net::tls::{self, Dated};
use crate::os::host::Host;
use crate::process::clock;

/// From so many days before its end on the log reminds of a certificate, once a day.
const REMIND_DAYS: i64 = 30;
const DAY_US: u64 = 86_400_000_000;

impl Host {
    /// Certificates and keys as they are now. Connections that are open stay as they are, and all does where it
    /// fails.
    pub fn read_tls_files(&mut self) -> Result<(), String> {
        if !tls::is_wanted(&self.config) {
            return Ok(());
        }
        match tls::sides(&self.config) {
            Ok(sides) => {
                self.net.tls = Some(sides);
                self.tell_certificates();
                Ok(())
            }
            Err(why) => {
                warn!("{why}");
                Err("Unable to update TLS configuration. Check server logs.".into())
            }
        }
    }

    /// What SIGHUP asks for: the text of the log says how it went.
    pub(super) fn reread_certificates(&mut self) -> &'static str {
        if self.net.tls.is_none() || !tls::is_wanted(&self.config) {
            return "";
        }
        match self.read_tls_files() {
            Ok(()) => " Certificates and keys were read again.",
            Err(_) => {
                " Certificates and keys could not be read again: those from before stay in use."
            }
        }
    }

    /// Until when each certificate is valid.
    pub fn tell_certificates(&mut self) {
        let now = clock::now();
        let now_s = (now.unix_us / 1_000_000) as i64;
        let dates = self.net.tls.as_ref().map_or(&[][..], |sides| &sides.dates);
        for Dated { file, validity, .. } in dates {
            match validity.days_left(now_s) {
                _ if validity.not_before_s > now_s => {
                    warn!("WARNING: the certificate {file} is not valid yet: peers refuse it.");
                }
                days @ ..0 => warn!(
                    "WARNING: the certificate {file} has expired, {} days ago: peers refuse it.",
                    -days - 1
                ),
                days @ ..REMIND_DAYS => warn!(
                    "WARNING: the certificate {file} expires in {days} days. Replace the file, then send \
                     SIGHUP or CONFIG SET its directive."
                ),
                days => info!("The certificate {file} is valid for {days} more days."),
            }
        }
        self.net.certificates_told_us = now.mono_us;
    }

    pub fn certificates_cron(&mut self, now_us: u64) {
        let is_due = now_us.saturating_sub(self.net.certificates_told_us) >= DAY_US;
        if is_due && self.net.tls.is_some() {
            self.tell_certificates();
        }
    }
}

/// For INFO: the seconds under Valkey's names, and the days until the first of them ends.
pub(super) fn info_lines(host: &Host, now_s: u64) -> InfoLines {
    let Some(sides) = &host.net.tls else { return Vec::new() };
    let now_s = now_s as i64;
    let mut lines: InfoLines = (sides.dates.iter())
        .map(|dated| (dated.info_field, (dated.validity.not_after_s - now_s).to_string()))
        .collect();
    let days = sides.dates.iter().map(|dated| dated.validity.days_left(now_s)).min();
    lines.extend(days.map(|days| ("tls_cert_days_left", days.to_string())));
    lines
}
