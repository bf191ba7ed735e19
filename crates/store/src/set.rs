//! Sets.

use crate::value::Encoding;

/// A set value.
#[derive(Debug, Default)]
#[allow(clippy::box_collection)]
pub struct Set {
    elements: Box<Vec<Vec<u8>>>,
}

impl Set {
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
