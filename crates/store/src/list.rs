//! Lists.

use crate::value::Encoding;

/// A list value.
#[derive(Debug, Default)]
#[allow(clippy::box_collection)]
pub struct List {
    elements: Box<Vec<Vec<u8>>>,
}

impl List {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.elements.len()
    }

    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    pub fn encoding(&self) -> Encoding {
        Encoding::Listpack
    }

    pub fn free_effort(&self) -> usize {
        self.elements.len()
    }

    pub fn memory_usage(&self, _samples: usize) -> usize {
        self.elements.iter().map(Vec::len).sum()
    }
}
