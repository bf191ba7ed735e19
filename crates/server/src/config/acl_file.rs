//! Owns the file of `aclfile`, as bytes: what stands in it is the engine's business. It is replaced
//! whole or not at all.

use std::fs;
use std::io;
use std::path::Path;

use super::rewrite::replace;
use super::table::Config;
use crate::process::os_error::os_error;

impl Config {
    /// The name, as it was given; none where users are kept in the configuration file.
    pub fn acl_file(&self) -> Option<&str> {
        Some(self.security.aclfile.as_str()).filter(|path| !path.is_empty())
    }

    pub fn read_acl_file(&self) -> Result<Vec<u8>, String> {
        fs::read(&self.security.aclfile).map_err(|error| os_error(&error))
    }

    pub fn save_acl_file(&self, text: &[u8]) -> io::Result<()> {
        let path = Path::new(&self.security.aclfile);
        // A link stays a link: it is the file behind it that is replaced.
        replace(&fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()), text)
    }
}
