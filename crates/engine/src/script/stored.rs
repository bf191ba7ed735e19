//! What of scripts and functions outlives a command: libraries for a snapshot and out of one, and what all of
//! it takes.

use crate::Engine;
use crate::error::CommandError;
use crate::script::{Libraries, library::Taken};
use crate::world::ScriptMemory;

/// Whether libraries out of a snapshot could be taken in: what is wrong with the first that could not.
pub fn check_libraries(codes: &[Vec<u8>]) -> Result<(), CommandError> {
    let mut libraries = Libraries::default();
    codes.iter().try_for_each(|code| libraries.load(code, Taken::Refused, true).map(drop))
}

impl Engine {
    /// The code of all libraries, in order of their names.
    pub fn library_codes(&self) -> Vec<Vec<u8>> {
        self.scripts.libraries.codes()
    }

    pub fn has_libraries(&self) -> bool {
        !self.scripts.libraries.all.is_empty()
    }

    /// Puts the libraries of another data set in place of all. The first error of those that cannot be compiled,
    /// which are left out.
    pub fn replace_libraries(&mut self, codes: &[Vec<u8>]) -> Result<(), CommandError> {
        let libraries = &mut self.scripts.libraries;
        libraries.flush();
        let mut result = Ok(());
        for code in codes {
            let loaded = libraries.load(code, Taken::Replaced, true).map(drop);
            result = result.and(loaded);
        }
        result
    }

    /// Adds the libraries of another data set to those that are there; with `overwrites` in place of those of
    /// the same name. All or none of them.
    pub fn add_libraries(
        &mut self,
        codes: &[Vec<u8>],
        overwrites: bool,
    ) -> Result<(), CommandError> {
        let before = self.library_codes();
        let taken = if overwrites { Taken::Replaced } else { Taken::Refused };
        let libraries = &mut self.scripts.libraries;
        let added = codes.iter().try_for_each(|code| libraries.load(code, taken, true).map(drop));
        if added.is_err() {
            // They were there a moment ago.
            let _ = self.replace_libraries(&before);
        }
        added
    }

    pub(crate) fn script_memory(&self) -> ScriptMemory {
        let (cache, libraries) = (&self.scripts.cache, &self.scripts.libraries);
        ScriptMemory {
            eval_state_bytes: cache.used_bytes(),
            eval_scripts_bytes: cache.overhead_bytes(),
            eval_scripts: cache.len() as u64,
            function_state_bytes: libraries.used_bytes(),
            libraries_bytes: libraries.overhead_bytes(),
            functions: libraries.function_count() as u64,
            libraries: libraries.all.len() as u64,
        }
    }
}
