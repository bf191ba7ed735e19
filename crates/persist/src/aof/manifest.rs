//! Owns the manifest of a multi-part AOF: its grammar, the names of its files, and the rules by
//! which files join and leave it. Touches no file.
//!
//! Call order around a rewrite: `next_incr` (new writes go there, manifest stored), the child
//! writes, `rewritten` (manifest stored), the files in `history` are removed, `clear_history`.

use std::fmt;

use protocol::{quote, split_args};

/// Longest line, its newline included.
const MAX_LINE_BYTES: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    /// A snapshot that the increments build upon.
    Base,
    /// Replaced, and waiting to be removed.
    History,
    Incr,
}

impl FileType {
    fn letter(self) -> char {
        match self {
            FileType::Base => 'b',
            FileType::History => 'h',
            FileType::Incr => 'i',
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AofFile {
    pub name: String,
    pub seq: i64,
    pub file_type: FileType,
}

impl AofFile {
    fn line(&self) -> Vec<u8> {
        let name = self.name.as_bytes();
        let name = if needs_quotes(&self.name) { quote(name) } else { name.to_vec() };
        let rest = format!(" seq {} type {}\n", self.seq, self.file_type.letter());
        [b"file ", &name[..], rest.as_bytes()].concat()
    }
}

/// The files that together are the data set, and those that were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    pub base: Option<AofFile>,
    pub history: Vec<AofFile>,
    /// In the order in which they are to be replayed.
    pub incrs: Vec<AofFile>,
    /// The highest sequence numbers used so far.
    pub base_seq: i64,
    pub incr_seq: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestReason {
    Empty,
    LineTooLong,
    Format,
    NameIsPath,
    DuplicateBase,
    SequenceNotRising,
    UnknownType,
}

/// What is wrong with a manifest, and in which line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// Counted from 1.
    pub line_number: usize,
    pub line: Vec<u8>,
    pub reason: ManifestReason,
}

impl fmt::Display for ManifestReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ManifestReason::Empty => "Found an empty AOF manifest",
            ManifestReason::LineTooLong => "The AOF manifest file contains too long line",
            ManifestReason::Format => "Invalid AOF manifest file format",
            ManifestReason::NameIsPath => "File can't be a path, just a filename",
            ManifestReason::DuplicateBase => "Found duplicate base file information",
            ManifestReason::SequenceNotRising => "Found a non-monotonic sequence number",
            ManifestReason::UnknownType => "Unknown AOF file type",
        })
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, line) = (self.line_number, String::from_utf8_lossy(&self.line));
        write!(f, "Reading the manifest file, at line {number}\n>>> '{line}'\n{}", self.reason)
    }
}

impl std::error::Error for ManifestError {}

/// `<appendfilename>.manifest`.
pub fn manifest_name(appendfilename: &str) -> String {
    format!("{appendfilename}.manifest")
}

/// The name a manifest is written under before it is renamed into place.
pub fn temp_manifest_name(appendfilename: &str) -> String {
    format!("temp-{}", manifest_name(appendfilename))
}

/// Where an increment is kept until a rewrite that was started because AOF was turned on is done.
pub fn temp_incr_name(appendfilename: &str) -> String {
    format!("temp-{appendfilename}.incr")
}

/// Where a rewrite's child writes the new base.
pub fn temp_base_name(pid: u32) -> String {
    format!("temp-rewriteaof-bg-{pid}.aof")
}

/// Whether an AOF file's name says that it is a manifest.
pub fn is_base_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\'])
}

impl Manifest {
    pub fn parse(text: &[u8]) -> Result<Manifest, ManifestError> {
        let mut manifest = Manifest::default();
        if text.is_empty() {
            return Err(ManifestError {
                line_number: 1,
                line: vec![],
                reason: ManifestReason::Empty,
            });
        }
        for (i, line) in text.split_inclusive(|b| *b == b'\n').enumerate() {
            manifest.line(line).map_err(|reason| ManifestError {
                line_number: i + 1,
                line: line[..line.len().min(MAX_LINE_BYTES)].trim_ascii_end().to_vec(),
                reason,
            })?;
        }
        Ok(manifest)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), ManifestReason> {
        if line.starts_with(b"#") {
            return Ok(());
        }
        // A line without its newline was cut off, by a reader's buffer or by a crash.
        if line.len() > MAX_LINE_BYTES || !line.ends_with(b"\n") {
            return Err(ManifestReason::LineTooLong);
        }
        let file = parse_file(line.trim_ascii())?;
        // Quoting may need more room than the line had; what is read must be writable again.
        if file.line().len() > MAX_LINE_BYTES {
            return Err(ManifestReason::LineTooLong);
        }
        self.add(file)
    }

    fn add(&mut self, file: AofFile) -> Result<(), ManifestReason> {
        match file.file_type {
            FileType::Base => {
                if self.base.is_some() {
                    return Err(ManifestReason::DuplicateBase);
                }
                self.base_seq = file.seq;
                self.base = Some(file);
            }
            FileType::History => self.history.push(file),
            FileType::Incr => {
                if file.seq <= self.incr_seq {
                    return Err(ManifestReason::SequenceNotRising);
                }
                self.incr_seq = file.seq;
                self.incrs.push(file);
            }
        }
        Ok(())
    }

    /// The text to store: base, history, increments, a line each.
    pub fn format(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for file in self.base.iter().chain(&self.history).chain(&self.incrs) {
            text.extend_from_slice(&file.line());
        }
        text
    }

    /// The files to load, in order.
    pub fn files(&self) -> impl Iterator<Item = &AofFile> {
        self.base.iter().chain(&self.incrs)
    }

    pub fn last_incr(&self) -> Option<&AofFile> {
        self.incrs.last()
    }

    /// Adds the increment that new writes go to from now on.
    pub fn next_incr(&mut self, appendfilename: &str) -> &AofFile {
        self.incr_seq += 1;
        let name = format!("{appendfilename}.{}.incr.aof", self.incr_seq);
        self.incrs.push(AofFile { name, seq: self.incr_seq, file_type: FileType::Incr });
        self.incrs.last().expect("just pushed")
    }

    /// Puts a new base in the place of the present one, which becomes history.
    pub fn next_base(&mut self, appendfilename: &str, format: BaseFormat) -> &AofFile {
        if let Some(old) = self.base.take() {
            self.history.push(AofFile { file_type: FileType::History, ..old });
        }
        self.base_seq += 1;
        let name = format!("{appendfilename}.{}.base{}", self.base_seq, format.suffix());
        self.base.insert(AofFile { name, seq: self.base_seq, file_type: FileType::Base })
    }

    /// A rewrite succeeded: its base replaces the old one and every increment but the last, which
    /// was begun together with it. Without `keep_last_incr` (AOF is just being turned on, and the
    /// increment still has a temporary name) all present increments are replaced.
    pub fn rewritten(
        &mut self,
        appendfilename: &str,
        format: BaseFormat,
        keep_last_incr: bool,
    ) -> &AofFile {
        let kept = usize::from(keep_last_incr).min(self.incrs.len());
        let replaced = self.incrs.len() - kept;
        // The youngest history comes first, as Redis lists it.
        let older = std::mem::take(&mut self.history);
        self.next_base(appendfilename, format);
        let old_base = std::mem::take(&mut self.history);
        let incrs =
            self.incrs.drain(..replaced).map(|old| AofFile { file_type: FileType::History, ..old });
        self.history = incrs.chain(old_base).chain(older).collect();
        self.base.as_ref().expect("just made")
    }

    /// The files of the history are gone.
    pub fn clear_history(&mut self) {
        self.history.clear();
    }

    /// A single AOF of a server before 7.0, taken over as the base of a new manifest.
    pub fn upgraded_from(appendfilename: &str) -> Manifest {
        let base = AofFile { name: appendfilename.to_owned(), seq: 1, file_type: FileType::Base };
        Manifest { base: Some(base), base_seq: 1, ..Manifest::default() }
    }
}

/// What a base holds; its name says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseFormat {
    Rdb,
    Aof,
}

impl BaseFormat {
    fn suffix(self) -> &'static str {
        match self {
            BaseFormat::Rdb => ".rdb",
            BaseFormat::Aof => ".aof",
        }
    }
}

/// What stands in the data directory when a server starts with AOF on.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// `<dir>/<appendfilename>`, where servers before 7.0 had their only AOF.
    pub old_file: bool,
    /// `<dir>/<appenddirname>`.
    pub aof_dir: bool,
    pub manifest: Option<&'a Manifest>,
    /// `<dir>/<appenddirname>/<appendfilename>`.
    pub old_file_in_aof_dir: bool,
}

/// Whether the old file is to be upgraded: store `Manifest::upgraded_from` in the (perhaps new) AOF
/// directory, then rename the old file into it, then load. A crash between the two steps leaves
/// what the last condition recognises.
pub fn needs_upgrade(appendfilename: &str, found: Found<'_>) -> bool {
    if !found.old_file {
        return false;
    }
    let Some(manifest) = found.manifest.filter(|_| found.aof_dir) else { return true };
    let only_base = manifest.history.is_empty() && manifest.incrs.is_empty();
    only_base
        && manifest.base.as_ref().is_some_and(|base| base.name == appendfilename)
        && !found.old_file_in_aof_dir
}

fn parse_file(line: &[u8]) -> Result<AofFile, ManifestReason> {
    let words = split_args(line).ok_or(ManifestReason::Format)?;
    if words.len() < 6 || words.len() % 2 != 0 {
        return Err(ManifestReason::Format);
    }
    let (mut name, mut seq, mut file_type) = (None, None, None);
    for pair in words.chunks_exact(2) {
        let value = &pair[1];
        match pair[0].to_ascii_lowercase().as_slice() {
            b"file" => {
                let text = String::from_utf8(value.clone()).map_err(|_| ManifestReason::Format)?;
                if !is_base_name(&text) {
                    return Err(ManifestReason::NameIsPath);
                }
                name = Some(text);
            }
            b"seq" => seq = protocol::parse_i64(value).filter(|seq| *seq > 0),
            b"type" => file_type = Some(parse_type(value)?),
            // Words of a later version.
            _ => {}
        }
    }
    match (name, seq, file_type) {
        (Some(name), Some(seq), Some(file_type)) => Ok(AofFile { name, seq, file_type }),
        _ => Err(ManifestReason::Format),
    }
}

fn parse_type(word: &[u8]) -> Result<FileType, ManifestReason> {
    match word.first() {
        Some(b'b') => Ok(FileType::Base),
        Some(b'h') => Ok(FileType::History),
        Some(b'i') => Ok(FileType::Incr),
        _ => Err(ManifestReason::UnknownType),
    }
}

fn needs_quotes(name: &str) -> bool {
    name.bytes().any(|b| !b.is_ascii_graphic() || matches!(b, b'"' | b'\'' | b'\\'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WRITTEN_BY_REDIS: &[u8] = b"file appendonly.aof.2.base.rdb seq 2 type b\n\
        file appendonly.aof.1.base.rdb seq 1 type h\n\
        file appendonly.aof.3.incr.aof seq 3 type i\n\
        file appendonly.aof.4.incr.aof seq 4 type i\n";

    #[test]
    fn a_manifest_comes_back_as_it_was() {
        let manifest = Manifest::parse(WRITTEN_BY_REDIS).unwrap();
        assert_eq!((manifest.base_seq, manifest.incr_seq), (2, 4));
        assert_eq!(manifest.format(), WRITTEN_BY_REDIS);
        let names: Vec<_> = manifest.files().map(|file| file.name.as_str()).collect();
        assert_eq!(
            names,
            ["appendonly.aof.2.base.rdb", "appendonly.aof.3.incr.aof", "appendonly.aof.4.incr.aof"]
        );
    }

    #[test]
    fn names_with_blanks_are_quoted_and_comments_and_new_words_skipped() {
        let text = b"# a comment\nTYPE b seq 1 file \"a b\\\"c.1.base.rdb\" new word\n";
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.base.as_ref().unwrap().name, "a b\"c.1.base.rdb");
        assert_eq!(manifest.format(), b"file \"a b\\\"c.1.base.rdb\" seq 1 type b\n");
    }

    #[test]
    fn each_error_names_its_line() {
        let cases: [(&[u8], usize, ManifestReason); 9] = [
            (b"", 1, ManifestReason::Empty),
            (b"file a seq 1 type b", 1, ManifestReason::LineTooLong),
            (b"file a seq 1 type b\n\n", 2, ManifestReason::Format),
            (b"file a seq 1 type b extra\n", 1, ManifestReason::Format),
            (b"file a seq 0 type b\n", 1, ManifestReason::Format),
            (b"file ../a seq 1 type b\n", 1, ManifestReason::NameIsPath),
            (b"file a seq 1 type b\nfile b seq 2 type b\n", 2, ManifestReason::DuplicateBase),
            (b"file a seq 2 type i\nfile b seq 2 type i\n", 2, ManifestReason::SequenceNotRising),
            (b"file a seq 2 type x\n", 1, ManifestReason::UnknownType),
        ];
        for (text, line, reason) in cases {
            let e = Manifest::parse(text).unwrap_err();
            assert_eq!((e.line_number, e.reason), (line, reason), "{}", text.escape_ascii());
        }
        let long = [b"file ", &[b'a'; 1100][..], b" seq 1 type b\n"].concat();
        assert_eq!(Manifest::parse(&long).unwrap_err().reason, ManifestReason::LineTooLong);
    }

    #[test]
    fn a_rewrite_turns_what_it_replaces_into_history() {
        let mut manifest = Manifest::default();
        manifest.next_base("a.aof", BaseFormat::Rdb);
        manifest.next_incr("a.aof");
        assert_eq!(
            manifest.format(),
            b"file a.aof.1.base.rdb seq 1 type b\nfile a.aof.1.incr.aof seq 1 type i\n"
        );
        manifest.next_incr("a.aof");
        manifest.rewritten("a.aof", BaseFormat::Aof, true);
        assert_eq!(
            String::from_utf8(manifest.format()).unwrap(),
            "file a.aof.2.base.aof seq 2 type b\n\
             file a.aof.1.incr.aof seq 1 type h\n\
             file a.aof.1.base.rdb seq 1 type h\n\
             file a.aof.2.incr.aof seq 2 type i\n"
        );
        manifest.clear_history();
        assert_eq!(Manifest::parse(&manifest.format()).unwrap(), manifest);
    }

    #[test]
    fn an_old_single_file_is_upgraded_once() {
        let upgraded = Manifest::upgraded_from("a.aof");
        assert_eq!(upgraded.format(), b"file a.aof seq 1 type b\n");
        let found =
            Found { old_file: true, aof_dir: false, manifest: None, old_file_in_aof_dir: false };
        assert!(needs_upgrade("a.aof", found));
        assert!(needs_upgrade("a.aof", Found { aof_dir: true, ..found }));
        let stored = Found { aof_dir: true, manifest: Some(&upgraded), ..found };
        assert!(needs_upgrade("a.aof", stored), "a crash before the rename");
        assert!(!needs_upgrade("a.aof", Found { old_file_in_aof_dir: true, ..stored }));
        assert!(!needs_upgrade("a.aof", Found { old_file: false, ..found }));
        let mut in_use = upgraded.clone();
        in_use.next_incr("a.aof");
        assert!(!needs_upgrade("a.aof", Found { manifest: Some(&in_use), ..stored }));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "(file|seq|type| |\n|a|1|b|i|\"|#){0,40}") {
            if let Ok(manifest) = Manifest::parse(text.as_bytes()) {
                prop_assert_eq!(Manifest::parse(&manifest.format()).map_err(|e| e.reason),
                    if manifest.format().is_empty() { Err(ManifestReason::Empty) } else { Ok(manifest) });
            }
        }
    }
}
